"""Headers of limits: OpenAI's names and durations, and the tightest of several limits."""

from __future__ import annotations

import pytest

from serve.governance.limits.accounts import Charge
from serve.governance.limits.rate_headers import duration, headers_of, without
from serve.governance.limits.rules import Limit, Measure
from serve.storage.counting.counters import Balance, Claim


def told(
    measure: Measure,
    limit: int,
    used: int,
    *,
    is_enforced: bool = True,
    ends_at_ms: int | None = None,
) -> tuple[Charge, Balance]:
    claim = Claim(
        account="a",
        amount=10,
        limit=limit,
        leak_ms=None if ends_at_ms else 60_000,
        keep_ms=1,
        is_enforced=is_enforced,
    )
    rule = Limit(name="x", bounds={measure: limit}, is_enforced=is_enforced)
    charge = Charge(limit=rule, measure=measure, claim=claim, ends_at_ms=ends_at_ms)
    return charge, Balance(account="a", settled=used, reserved=10, limit=limit)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0ms"),
        (120, "120ms"),
        (1000, "1s"),
        (1001, "2s"),
        (360_000, "6m0s"),
        (3_600_000, "1h0m0s"),
        (90_061_000, "25h1m1s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


def test_the_tightest_is_told() -> None:
    headers = headers_of(
        [
            told("tokens_per_minute", 1000, 400),
            told("tokens_per_day", 5000, 4900, ends_at_ms=3_600_000),
            told("tokens_per_minute", 100, 90, is_enforced=False),
            told("concurrent_requests", 5, 0),
        ],
        ["y", "x", "y"],
        now_ms=0,
    )
    assert headers == {
        "x-ratelimit-limit-tokens": "5000",
        "x-ratelimit-remaining-tokens": "90",
        "x-ratelimit-reset-tokens": "1h0m0s",
        "x-intramural-limits-observed": "y, x",
    }


def test_nothing_is_told_without_limits() -> None:
    assert headers_of([], [], 0) == {}


def test_what_was_given_back_is_not_counted() -> None:
    ((_, balance),) = without([told("requests_per_minute", 60, 3)])
    assert (balance.reserved, balance.settled) == (0, 3)
