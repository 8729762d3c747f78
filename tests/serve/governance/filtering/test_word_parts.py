"""Long lists of words come in parts, and what is found is what one list would find."""

from __future__ import annotations

import pytest

from serve.governance.filtering import word_parts
from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.scanning import hits_of
from serve.governance.filtering.word_parts import SharedParts, forms_of, parts_of

WORDS = tuple(f"bad{number}" for number in range(40))
LONG = Rule(name="long", version="1", category="hate", words=WORDS)
SHORT = Rule(name="short", version="1", category="hate", words=("worse", "bad39"), action="count")


def test_a_long_list_is_made_once_for_all_matchers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_parts, "PART_WORDS", 16)
    monkeypatch.setattr(word_parts, "LARGE_WORDS", 8)
    shared = SharedParts()
    first = parts_of([(0, SHORT), (3, LONG)], shared)
    second = parts_of([(7, LONG)], shared)
    assert [numbers for _, numbers in first] == [[3], [3], [3], [0]]
    assert [part for part, _ in second] == [part for part, _ in first[:3]]


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_parts_find_what_one_list_finds(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    rules = (SHORT, LONG)
    text = "bad badly bad39 bad7"
    monkeypatch.setattr(word_parts, "PART_WORDS", most)
    monkeypatch.setattr(word_parts, "LARGE_WORDS", most)
    blocking, counting = hits_of(Matcher(rules), text)
    assert blocking is LONG
    assert counting == []  # the text ends at the hit that blocks
    assert hits_of(Matcher(rules, only_counts=True), text) == (None, [SHORT, LONG])


def test_forms_of_a_word() -> None:
    assert forms_of(["é"]) == ["é", "e\u0301"]
    assert forms_of(["坏"]) == ["坏"]
