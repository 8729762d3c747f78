"""Accounts: which a request fills, with how much, and what of it is settled."""

from __future__ import annotations

from serve.governance.limits.accounts import MAX_ACCOUNT_CHARS, Spent, _bounded, outline_of, settled
from serve.governance.limits.limits_file import parse_rules
from tests.serve.governance.limits.limited import ANN, KNOWN, NOON_MS, PRICES

TEXT = (
    PRICES
    + """
[[limits]]
name = "each user"
user = "*"
requests_per_minute = 5
concurrent_requests = 2
tokens_per_day = 1000
money_per_month = "1.00"
[[limits]]
name = "others"
tenant = "tenant"
key = "key-b"
tokens_per_minute = 9
"""
)
ASKED = Spent(requests=1, tokens=150, micros=200)


def test_a_limit_has_an_account_for_each_measure_subject_and_period() -> None:
    rules = parse_rules(TEXT, KNOWN)
    plan = outline_of(rules, rules.limits, ANN, "demo", now_ms=NOON_MS).filled(ASKED)
    told = {charge.measure: charge.claim for charge in (*plan.rates, *plan.budgets)}
    assert {measure: claim.amount for measure, claim in told.items()} == {
        "requests_per_minute": 1,
        "concurrent_requests": 1,
        "tokens_per_day": 150,
        "money_per_month": 200,
    }
    assert told["tokens_per_day"].account.endswith(f"/{plan.day}")
    assert told["money_per_month"].account.endswith(f"/{plan.day[:7]}")
    assert [told[m].leak_ms for m in ("requests_per_minute", "concurrent_requests")] == [
        60_000,
        None,
    ]
    assert len({claim.account for claim in told.values()}) == 4


def test_concurrency_is_settled_with_nothing() -> None:
    rules = parse_rules(TEXT, KNOWN)
    plan = outline_of(rules, rules.limits, ANN, "demo", now_ms=NOON_MS).filled(ASKED)
    used = Spent(requests=1, tokens=40, micros=50)
    assert [claim.amount for claim in settled(plan.rates, used)] == [1, 0]
    assert [claim.amount for claim in settled(plan.budgets, used)] == [40, 50]


def test_long_names_stay_different_and_within_the_bound() -> None:
    names = [_bounded("x" * 600 + end) for end in "ab"]
    assert len(set(names)) == 2
    assert all(len(name) == MAX_ACCOUNT_CHARS for name in names)
