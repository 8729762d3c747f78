"""A trial of rules on a text: all places where they hit it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from serve.governance.filtering.folding import Folder
from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Rule
from serve.governance.text_place import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One hit.

    Attributes:
        line: from 1.
        column: from 1, in characters.
        value: the text that was hit, as it was written; for whoever asks to see it.
    """

    rule: Rule
    line: int
    column: int
    value: str


def tried(text: str, rules: Iterable[Rule]) -> tuple[Place, ...]:
    """The hits of all of some rules, in order; they may overlap."""
    matcher = Matcher(tuple(rules), only_counts=True)
    folded, places = Folder().feed(text, is_last=True)
    lines, found = Lines(text), []
    for hit in matcher.all_hits(folded):
        start = places[hit.start]
        line, column = lines.place(start)
        found.append(
            Place(
                rule=matcher.rules[hit.number],
                line=line,
                column=column,
                value=text[start : places[hit.end - 1] + 1],
            )
        )
    return tuple(found)
