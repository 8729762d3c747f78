"""docs/tools.md names every dialect, and the bounds of grammars as they are."""

from __future__ import annotations

import re

from serve.api.openai.tools import MAX_TOOLS
from serve.engine.grammars import bounds
from serve.pipeline.model_dialects.finding import AUTO, OFF
from serve.pipeline.model_dialects.table import DIALECTS
from tests.house.tree import ROOT

PAGE = (ROOT / "docs" / "tools.md").read_text("utf-8")
LIMITS = {
    "characters of a format": bounds.MAX_TEXT,
    "choices": bounds.MAX_CHOICES,
    "structures of": bounds.MAX_PARTS,
    "levels of a schema": bounds.MAX_DEPTH,
    "properties of one object": bounds.MAX_PROPERTIES,
    "`minItems`": bounds.MAX_REPEATS,
    "patterns and formats": bounds.MAX_INTERSECTIONS,
    "schemas that `allOf`": bounds.MAX_JOINED,
    "pairs of `patternProperties`": bounds.MAX_PATTERN_PAIRS,
    "characters of a regular expression": bounds.MAX_REGEX,
    "characters of a grammar in GBNF": bounds.MAX_GBNF,
}


def rows(heading: str) -> list[tuple[str, str]]:
    """The two cells of each line of the table that begins with this line."""
    table = PAGE.split(heading, 1)[1].split("\n\n", 1)[0]
    lines = [line.strip("|").split("|") for line in table.splitlines()[1:]]
    return [(first.strip(), second.strip()) for first, second in lines]


def test_the_table_of_dialects_has_them_all() -> None:
    named = [name for name, _ in rows("| `--tool-dialect` | calls |\n")]
    assert named == [f"`{name}`" for name in (AUTO, OFF, *DIALECTS)]


def test_the_bounds_are_those_of_the_code() -> None:
    found = dict(rows("| what | most |\n"))
    declared = [value for name, value in vars(bounds).items() if name.startswith("MAX_")]
    assert sorted(LIMITS.values()) == sorted(declared)
    assert len(found) == len(LIMITS)
    for begins, most in LIMITS.items():
        (told,) = [value for what, value in found.items() if what.startswith(begins)]
        assert told == f"{most:,}", begins
    assert bounds.MOST_COMPILE_S == 1
    assert re.search(rf"\b{MAX_TOOLS} tools, with names of 64 characters", PAGE)
