"""Suggestions for a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ALIKE, _NEARLY_SAME = 0.5, 0.9
"""Shares of letters in common, as difflib has them: 1 is the same."""


def near(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' with up to three known names like this one, or ''.

    One that is nearly the same is named alone.
    """
    names = list(known)
    matches = difflib.get_close_matches(name, names, n=3, cutoff=_ALIKE)
    matches = difflib.get_close_matches(name, matches, n=1, cutoff=_NEARLY_SAME) or matches
    return f" Did you mean {' or '.join(matches)}?" if matches else ""
