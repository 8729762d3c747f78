"""The refusal of a grammar, before it is known which field of a request brought it."""

from __future__ import annotations


class GrammarRefused(ValueError):
    """A grammar is not one, is too large, or has no text in it. The text says which part."""
