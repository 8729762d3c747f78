"""Grammars on our own engine: what a schema costs, and what forced tokens give back."""
