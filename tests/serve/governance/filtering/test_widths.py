"""Widths of patterns, and those that are refused."""

from __future__ import annotations

import pytest

from serve.governance.filtering.widths import MAX_WIDTH, compiled


@pytest.mark.parametrize(
    ("pattern", "width"),
    [
        ("abc", 3),
        ("a{2,5}(b|cc)?", 7),
        (r"\p{Han}{2}", 2),
        (r"[[:alpha:]_]{1,3}", 3),
        (r"[\p{Han}a]{2}", 2),
        (r"\x{574F}人", 2),
        (r"\$[0-9]{1,4}", 5),
        (r"[$^]x", 2),
    ],
)
def test_widths(pattern: str, width: int) -> None:
    assert compiled(pattern)[1] == width


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "RE2 does not take it"),
        ("(?=a)", "RE2 does not take it"),
        (r"(a)\1", "RE2 does not take it"),
        ("a*", "at least one character"),
        ("a+", "no bound"),
        (f"a{{{MAX_WIDTH + 1}}}", f"{MAX_WIDTH + 1} characters"),
        ("^a", "what stands around a match"),
        (r"a\b", "what stands around a match"),
        ("a$", "what stands around a match"),
        ("xa{,2}", "two ways"),
        (r"\Qa\E", "its width cannot be told"),
    ],
)
def test_what_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        compiled(pattern)


def test_capitals_are_small_letters() -> None:
    assert compiled("ABC")[0].search("xabc").span() == (1, 4)


REDOS = ("(a|aa){1,60}b", "(a{1,9}){1,20}b", "([a-z]{1,16}){1,15}!", "(a|a|a){1,100}c")
"""Patterns that take a backtracking matcher longer than anyone waits."""


@pytest.mark.parametrize("pattern", REDOS)
def test_no_pattern_is_slow(pattern: str) -> None:
    """RE2 would take minutes here if it tried one way after the other: this ends or it hangs."""
    found, width = compiled(pattern)
    assert found.search("a" * 200_000) is None
    assert width <= MAX_WIDTH
