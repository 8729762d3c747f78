"""Where rules hit, and from where on they still could."""

from __future__ import annotations

import pytest

from serve.governance.filtering.matching import Hit, Matcher
from serve.governance.filtering.rules import Rule
from tests.serve.governance.filtering.rule_texts import MATCHER, RULES


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("so bad.", Hit(3, 6, 0)),
        ("badge", None),
        ("用bad了", Hit(1, 4, 0)),
        ("a坏人b", Hit(1, 3, 1)),
        ("x12345z", Hit(1, 7, 2)),
        ("ugh 123z", Hit(0, 3, 1)),
    ],
)
def test_the_first_hit(text: str, hit: Hit | None) -> None:
    assert MATCHER.blocked(text, 0, is_last=True) == hit


def test_of_two_at_one_place_the_first_rule_is_told() -> None:
    two = [Rule(name=name, version="1", category="x", words=("same",)) for name in "ab"]
    assert Matcher(two).blocked("same", 0, is_last=True) == Hit(0, 4, 0)


def test_what_may_still_come() -> None:
    words = Matcher(RULES[:2])
    assert words.open_from("it is ba") == 6
    assert words.open_from("it is bad") == 6  # it may go on, as badge
    assert words.open_from("it is") == 5
    assert MATCHER.open_from("0123456789") == 10 - 6 + 1  # a pattern of at most six characters


def test_a_word_at_the_end_is_one_where_nothing_follows() -> None:
    assert MATCHER.blocked("bad", 0, is_last=False) is None
    assert MATCHER.blocked("bad", 0, is_last=True) == Hit(0, 3, 0)
    assert MATCHER.blocked("坏人", 0, is_last=False) == Hit(0, 2, 1)


def test_rules_that_count() -> None:
    assert MATCHER.counted("ab yy", 0, 5, is_last=True) == {3, 4}
    assert MATCHER.counted("ab yy", 0, 4, is_last=True) == {3}
    assert Matcher(RULES, only_counts=True).counted("bad", 0, 3, is_last=True) == {0}


def test_many_words_are_one_pass() -> None:
    words = tuple(f"word{number}x" for number in range(5000))
    matcher = Matcher([Rule(name="many", version="1", category="x", words=words)])
    assert matcher.blocked("so word4999x", 0, is_last=True) == Hit(3, 12, 0)
