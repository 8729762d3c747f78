"""Places in a text as people name them."""

from __future__ import annotations


def line_and_column(text: str, at: int) -> tuple[int, int]:
    """The line and the column of a character, both from 1 on."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
