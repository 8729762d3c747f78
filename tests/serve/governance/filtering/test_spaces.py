"""Words with spaces: any run of white space is one, in whole texts and in streams."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest

from serve.governance.around import NOTHING_AROUND, Around
from serve.governance.filtering.edges import edges_of
from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.scanning import Scanner, hits_of
from serve.governance.filtering.spaces import long_runs, shortened, view

RULES = (
    Rule(name="words", version="1", category="hate", words=("pipe  bomb", "b c\td"), is_whole=True),
    Rule(name="pattern", version="1", category="hate", patterns=("x {2}y",)),
    Rule(name="seen", version="1", category="own", action="count", words=("e f",)),
)
MATCHER = Matcher(RULES)
SPACES = (" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", " \u200b ", "\n" * 300)


def scanned(pieces: list[str], around: Around = NOTHING_AROUND) -> tuple[str, str | None, bool]:
    scanner = Scanner(MATCHER, edges=edges_of(around, MATCHER.longest + 1))
    released = "".join([scanner.feed(piece) for piece in pieces]) + scanner.finish()
    rule = scanner.blocked_by
    return released, rule.name if rule else None, bool(scanner.counted)


def read(text: str) -> tuple[str, str | None, bool]:
    """A reader of its own: Python's ``re``, place by place."""
    found = re.search(r"(?<!\w)(pipe[\s\u200b]+bomb|b[\s\u200b]+c[\s\u200b]+d)(?!\w)|x  y", text)
    released = text[: found.start()] if found else text
    name = None if found is None else ("pattern" if found[0][0] == "x" else "words")
    return released, name, re.search(r"e[\s\u200b]+f(?!\w)", released) is not None


@pytest.mark.parametrize("space", SPACES)
def test_any_white_space_is_one(space: str) -> None:
    for text in (f"a pipe{space}bomb.", f"e{space}f b{space}c{space}d", f"e{space}f pipe{space}"):
        assert scanned([text]) == scanned(list(text)) == read(text), text
    blocked_by, _ = hits_of(MATCHER, f"pipe{space}bomb")
    assert blocked_by is RULES[0]
    assert hits_of(MATCHER, "pipe\u200bbomb") == (None, [])


def test_every_split_and_every_edge(is_proving: bool) -> None:
    parts = ("pipe", "bomb", "b", "c", "d", "e", "f", "x", "y", " ", " \n", "\u3000", "  ")
    triples = [a + s + b + t + c for a in parts for b in parts for c in parts for s in (" ", "  ")
               for t in ("\n\t", "  ")]  # fmt: skip
    for text in triples[:: 5 if is_proving else 151]:
        expected = read(text)
        for cuts in combinations(range(1, len(text)), 2):
            pieces = [text[start:end] for start, end in pairwise((0, *cuts, len(text)))]
            assert scanned(pieces) == expected, pieces
        for at in range(len(text)):
            before, answer = text[:at], text[at:]
            released, name, _ = scanned(list(answer), Around(before))
            assert scanned([answer], Around(before))[:2] == (released, name)
            whole = expected[0]
            if expected[1] is not None and answer.strip() and len(whole) >= at:
                assert released == whole[at:], (before, answer)


def test_patterns_see_white_space_as_it_is() -> None:
    assert scanned(["x  y"])[1] == "pattern"
    assert scanned(["x\ty"])[1] is None


def test_white_space_before_an_answer_is_one_too() -> None:
    assert scanned(["bomb!"], Around("pipe" + "\n" * 5000))[:2] == ("", "words")
    assert scanned(["a pipe"], Around("", "\n" * 5000 + "bomb"))[:2] == ("a ", "words")
    assert len(edges_of(Around("pipe" + "\n" * 5000), 11).before) < 40


def test_a_view_knows_its_places() -> None:
    seen = view("a \n b\tc")
    assert (seen.text, seen.starts) == ("a b c", [0, 1, 4, 5, 6])
    assert [seen.place(at) for at in (1, 2, 5)] == [1, 4, 7]
    assert [seen.end(at) for at in (1, 2, 3)] == [1, 2, 5]
    assert [seen.at(place) for place in (1, 2, 4, 7)] == [1, 2, 2, 5]
    assert view("a b").starts is None
    assert shortened("a" + " " * 9 + "b", 3) == "a" + " " * 6 + "b"


def test_long_runs_leave_their_ends() -> None:
    text = "a" + " " * 50 + "b" + "\n" * 9 + "c"
    assert long_runs(text, 3) == [(55, 58), (4, 48)]
    assert long_runs(text, 20) == []
