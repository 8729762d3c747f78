"""Limits of a key: names and values that there are."""

from __future__ import annotations

import pytest

from serve.governance.limit_names import LIMIT_NAMES, checked_limits, limit_of


def test_limits_come_back_in_the_order_of_their_names() -> None:
    given = {"money_per_month": "10", "requests_per_minute": 5, "money_per_day": "0.000001"}
    assert list(checked_limits(given)) == [name for name in LIMIT_NAMES if name in given]


@pytest.mark.parametrize(
    "given",
    [
        {"requests": 5},
        {"requests_per_minute": -1},
        {"requests_per_minute": True},
        {"tokens_per_day": 5.0},
        {"tokens_per_day": "5"},
        {"tokens_per_day": 10**13},
        {"money_per_day": 5},
        {"money_per_day": 0.5},
        {"money_per_day": "-1"},
        {"money_per_day": "1.0000001"},
        {"money_per_day": "1e3"},
        {"money_per_day": "NaN"},
    ],
)
def test_what_is_no_limit_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        checked_limits(given)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("tokens_per_day=100", ("tokens_per_day", 100)),
        ("money_per_day=2.50", ("money_per_day", "2.50")),
        ("money_per_day=none", ("money_per_day", None)),
        ("concurrent_requests=none", ("concurrent_requests", None)),
    ],
)
def test_a_limit_on_a_command_line(text: str, limit: tuple[str, object]) -> None:
    assert limit_of(text) == limit


@pytest.mark.parametrize(
    "text", ["tokens_per_day", "tokens_per_day=", "tokens_per_day=x", "x=5", "x=none", "=5"]
)
def test_what_is_no_limit_on_a_command_line(text: str) -> None:
    with pytest.raises(ValueError):
        limit_of(text)
