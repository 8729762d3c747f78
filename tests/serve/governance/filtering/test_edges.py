"""Answers that go on from a text, or stand before one: a hit across the edge ends them."""

from __future__ import annotations

import re

import pytest

from serve.governance.around import Around
from serve.governance.filtering.edges import Edges, edges_of
from serve.governance.filtering.scanning import Scanner
from tests.serve.governance.filtering import rule_texts
from tests.serve.governance.filtering.rule_texts import MATCHER

PARTS = (
    "so ",
    "bad",
    "ly",
    "ugh",
    "坏",
    "人",
    "12",
    "34z",
    "qab",
    "c ",
    "yy",
    "ab",
    "\u200b",
    "Ｂ",
)


def scanned(
    pieces: list[str], around: Around, *, has_escapes: bool = False
) -> tuple[str, str | None]:
    edges = edges_of(around, MATCHER.longest + 1, has_escapes=has_escapes)
    scanner = Scanner(MATCHER, has_escapes=has_escapes, edges=edges)
    released = "".join([scanner.feed(piece) for piece in pieces]) + scanner.finish()
    return released, scanner.blocked_by.name if scanner.blocked_by else None


def expected(text: str, around: Around) -> str:
    """The text up to the first hit in it: read alone, or with the text on either side, or both."""
    befores, afters = {"", around.before}, {"", around.after}
    return text[: min(_first(text, before, after) for before in befores for after in afters)]


def _first(text: str, before: str, after: str) -> int:
    begin, end = len(before), len(before) + len(text)
    folded, places = "", []
    for place, char in enumerate(before + text + after):
        piece = rule_texts._FOLDS.get(char, char.lower())
        folded += piece
        places += [place] * len(piece)
    starts = [len(text)]
    for _, pattern in rule_texts._BLOCKING:
        for at in range(len(folded)):
            found = re.compile(pattern).match(folded, at)
            seen = places[at : found.end()] if found else []
            starts += [place - begin for place in seen if begin <= place < end]
    return min(starts)


def test_every_split_of_texts_with_their_edges(is_proving: bool) -> None:
    texts = [first + second + third for first in PARTS for second in PARTS for third in PARTS]
    for text in texts if is_proving else texts[::27]:
        for begin in range(len(text)):
            for end in range(begin + 1, len(text) + 1):
                around = Around(text[:begin], text[end:])
                answer = text[begin:end]
                wanted = expected(answer, around)
                assert scanned([answer], around)[0] == wanted, (around, answer)
                assert scanned(list(answer), around)[0] == wanted, (around, answer)


def test_a_hit_needs_a_character_of_the_answer() -> None:
    assert scanned([" and so on"], Around("it is bad")) == (" and so on", None)
    assert scanned(["and so on"], Around("it is ugh")) == ("and so on", None)
    assert scanned(["so it is "], Around("", "bad")) == ("so it is ", None)


def test_an_edge_makes_no_word_of_an_answer_s_own_harmless() -> None:
    assert scanned(["bad it is"], Around("x")) == ("", "whole")
    assert scanned(["it is bad"], Around("", "ge")) == ("it is ", "whole")


def test_unseen_characters_hide_no_edge() -> None:
    assert scanned(["gh!"], Around("u" + "\u200b" * 500)) == ("", "anywhere")
    assert scanned(["so u"], Around("", "\u200b" * 500 + "gh")) == ("so ", "anywhere")


@pytest.mark.parametrize("at", range(1, 12))
def test_an_escape_may_lie_across_the_edge(at: int) -> None:
    r"""``\u0075gh`` in JSON, cut at each place."""
    text = r"so \u0075gh!"
    before, answer = text[:at], text[at:]
    released, blocked_by = scanned([answer], Around(before), has_escapes=True)
    is_hit = answer != "!"
    assert released == (answer[: max(0, 3 - at)] if is_hit else "!")
    assert blocked_by == ("anywhere" if is_hit else None)


def test_an_edge_is_read_as_far_as_it_is_needed() -> None:
    assert edges_of(Around("x" * 1000, "y" * 1000), 7) == Edges("x" * 7, "", "y" * 7, False)
    assert edges_of(Around(), 7) == Edges()
    assert len(edges_of(Around("\\" * 1000), 7, has_escapes=True).before) == 7


def test_rules_that_count_are_told_across_an_edge() -> None:
    scanner = Scanner(MATCHER, edges=edges_of(Around("a ab", "b"), MATCHER.longest + 1))
    scanner.feed("c a")
    assert not scanner.counted
    scanner.finish()
    assert [rule.name for rule in scanner.counted] == ["seen"]
    scanner = Scanner(MATCHER, edges=edges_of(Around("y"), MATCHER.longest + 1))
    scanner.feed("y") + scanner.finish()
    assert [rule.name for rule in scanner.counted] == ["runs"]
