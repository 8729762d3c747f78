"""Grammars: the languages that completions are held to. The home of llguidance."""
