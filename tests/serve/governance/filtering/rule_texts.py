"""Rules for these tests, and a reader of them that shares no code with the product.

It folds by its own table and looks at each place of a text in turn, with Python's ``re``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hypothesis import strategies as st

from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Rule

RULES = (
    Rule(name="whole", version="1", category="hate", words=("bad", "badly"), is_whole=True),
    Rule(name="anywhere", version="1", category="hate", words=("ugh", "坏人")),
    Rule(name="digits", version="2", category="own", patterns=(r"\d{3,5}z", "q[ab]{1,4}c")),
    Rule(name="seen", version="1", category="own", action="count", words=("ab",)),
    Rule(name="runs", version="1", category="own", action="count", patterns=("y{2,3}",)),
)
MATCHER = Matcher(RULES)

PIECES = [
    "bad",
    "BADLY",
    "ugh",
    "坏",
    "人",
    "123",
    "4z",
    "qab",
    "c",
    "ab",
    "yy",
    "ＢＡＤ",
    "\u200b",
]
TEXTS = st.lists(st.sampled_from([*PIECES, *"badlyughz1qc ,人"]), max_size=14).map("".join)

_FOLDS = {"Ｂ": "b", "Ａ": "a", "Ｄ": "d", "\u200b": ""}
_BLOCKING = (
    ("whole", r"(?<![a-z0-9])(?:bad|badly)(?![a-z0-9])"),
    ("anywhere", "ugh|坏人"),
    ("digits", r"[0-9]{3,5}z|q[ab]{1,4}c"),
)
_COUNTING = (("seen", "ab"), ("runs", "yy"))


@dataclass(frozen=True)
class Read:
    """A text as the reader releases it, the rule that ended it, and those that counted."""

    released: str
    blocked_by: str | None
    counted: frozenset[str]


def read(text: str) -> Read:
    """The text up to the first place at which a rule hits."""
    folded, places = "", []
    for place, char in enumerate(text):
        piece = _FOLDS.get(char, char.lower())
        folded += piece
        places += [place] * len(piece)
    for start in range(len(folded)):
        for name, pattern in _BLOCKING:
            # From this place on, with what stands before it in sight.
            if re.compile(pattern).match(folded, start):
                return Read(text[: places[start]], name, _counted(folded[:start]))
    return Read(text, None, _counted(folded))


def _counted(folded: str) -> frozenset[str]:
    return frozenset(name for name, pattern in _COUNTING if re.search(pattern, folded))
