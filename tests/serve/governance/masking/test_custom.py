"""An operator's own patterns: RE2, of a stated length."""

from __future__ import annotations

import pytest

from serve.governance.masking.custom import BadPatternError, CustomDetector, compiled


def found(pattern: str, text: str, max_chars: int = 8) -> list[str]:
    detector = CustomDetector(
        name="own", label="OWN", regexp=compiled(pattern), max_chars=max_chars
    )
    return [text[each.start : each.end] for each in detector.found(text, 0, len(text))]


def test_matches_end_at_the_length() -> None:
    assert found("EMP[0-9]+", "x EMP12 EMP123456789") == ["EMP12", "EMP12345"]
    assert found("a.*b", "a123b 456b") == ["a123b"]
    assert found("a.*b", "a123456789b") == []


def test_edges_of_words_and_of_the_text_are_those_of_the_whole_text() -> None:
    assert found(r"\b[0-9]{4}\b", "12345 1234 x1234") == ["1234"]
    assert found("end$", "end end") == ["end"]
    assert found("^a", "a a") == ["a"]


def test_all_places_of_a_long_text_are_found() -> None:
    assert len(found("EMP[0-9]", "你好EMP7" * 1000)) == 1000


def test_a_hostile_pattern_takes_no_square_of_the_text() -> None:
    assert found("a.*b", "a" * 20_000 + "b", 16) == ["a" * n + "b" for n in range(15, 0, -1)]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("a(", "missing"), (r"(?=a)b", "RE2"), ("x*", "empty"), ("(a{1,900}b{1,99}){9}", "RE2|steps")],
)
def test_patterns_that_cannot_be_used(pattern: str, reason: str) -> None:
    with pytest.raises(BadPatternError, match=reason):
        compiled(pattern)
