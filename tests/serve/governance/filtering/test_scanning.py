"""One property of the filter: however a text is cut, the same of it is released.

And it is what a reader that shares no code with the product releases of the whole text.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.governance.filtering.matching import Hit, Matcher
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.scanning import Scanner, hits_of
from tests.serve.governance.filtering.rule_texts import MATCHER, TEXTS, Read, read


def scanned(pieces: list[str], *, has_escapes: bool = False) -> Read:
    scanner = Scanner(MATCHER, has_escapes=has_escapes)
    released = "".join([scanner.feed(piece) for piece in pieces]) + scanner.pause()
    blocked_by = scanner.blocked_by.name if scanner.blocked_by else None
    return Read(released, blocked_by, frozenset(rule.name for rule in scanner.counted))


def cut(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(at, len(text)) for at in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@given(text=TEXTS, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_any_split_releases_what_the_whole_text_does(text: str, cuts: list[int]) -> None:
    assert scanned(cut(text, cuts)) == scanned([text]) == scanned(list(text)) == read(text)


SHORT = [
    "a bad",
    "badly bad",
    "b\u200bad",
    "x1234z",
    "qabbac",
    "坏坏人",
    "ab yy u",
    "ugh",
    "ＢＡＤ",
]


@pytest.mark.parametrize("text", SHORT)
def test_every_split_of_short_texts(text: str, is_proving: bool) -> None:
    expected = read(text)
    places = range(1, len(text))
    for num_cuts in range(len(text) if is_proving else min(3, len(text))):
        for cuts in combinations(places, num_cuts):
            assert scanned(cut(text, list(cuts))) == expected


def test_every_split_of_many_texts(is_proving: bool) -> None:
    """Each in one, two and three pieces, at every place."""
    if not is_proving:
        pytest.skip("56,667 splits, ten seconds: `make prove`; short texts are split above")
    parts = (
        "so ",
        "bad",
        "ugh",
        "坏",
        "人",
        "12",
        "34z",
        "qab",
        "c",
        " yy ",
        "ab",
        "\u200b",
        "BADLY",
    )
    for first in parts:
        for second in parts:
            for third in parts:
                text = first + second + third
                expected = read(text)
                for num_cuts in (1, 2):
                    for cuts in combinations(range(1, len(text)), num_cuts):
                        assert scanned(cut(text, list(cuts))) == expected


def test_no_character_of_a_hit_is_released() -> None:
    scanner = Scanner(MATCHER)
    released = [scanner.feed(char) for char in "so bad"]
    assert "".join(released) == "s"  # as long as the longest pattern may still begin in it
    assert scanner.pause() + scanner.feed("more") == "o "
    assert scanner.blocked_by is not None


def test_what_no_rule_begins_with_waits_for_the_longest_pattern_alone() -> None:
    scanner = Scanner(MATCHER)
    assert scanner.feed("0123456789") == "01234"
    assert scanner.pause() == "56789"


def test_a_hit_across_a_pause_ends_the_text_where_it_goes_on() -> None:
    scanner = Scanner(MATCHER)
    assert scanner.feed("so 坏") + scanner.pause() == "so 坏"
    assert scanner.feed("人!") == ""
    assert scanner.blocked_by is not None


@pytest.mark.parametrize(
    "text", [r'{"a": "\u0062ad"}', r'{"a": "\u574f\u4eba"}', r'{"a": "b\u0061d"}']
)
def test_escapes_hide_nothing(text: str) -> None:
    assert scanned(list(text), has_escapes=True) == scanned([text], has_escapes=True)
    assert scanned([text], has_escapes=True).released == '{"a": "'


def test_a_whole_text_names_the_rules() -> None:
    blocked_by, counted = hits_of(MATCHER, "ab yy ugh")
    assert blocked_by is not None
    assert (blocked_by.name, [rule.name for rule in counted]) == ("anywhere", ["seen", "runs"])


def test_a_stream_of_white_space_is_matched_by_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    blocked = Matcher.blocked

    def counted(self: Matcher, text: str, begin: int, *, is_last: bool, edge: int) -> Hit | None:
        sizes.append(len(text))
        return blocked(self, text, begin, is_last=is_last, edge=edge)

    monkeypatch.setattr(Matcher, "blocked", counted)
    words = ("pipe bomb", " nail")
    matcher = Matcher([Rule(name="spaced", version="1", category="own", words=words)])
    for lead, end in (("so", "bomb"), ("pipe", " mix"), ("pipe", "bomb"), ("so", "nail")):
        scanner = Scanner(matcher)
        pieces = [lead, *("\n" * 1000), end]
        released = "".join([scanner.feed(piece) for piece in pieces]) + scanner.finish()
        hit = {"pipebomb": 0, "sonail": 2}.get(lead + end)
        assert released == "".join(pieces)[:hit]
    assert max(sizes) < 10 * matcher.longest
