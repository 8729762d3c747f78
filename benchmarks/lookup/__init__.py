"""Prompt lookup on our own engine: what guesses give an edit, and what they cost a chat."""
