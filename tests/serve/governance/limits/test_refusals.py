"""Refusals: they name the limit, what is used and asked, and when to ask again."""

from __future__ import annotations

import pytest

from serve.errors import InsufficientQuota, RateLimited, RequestError
from serve.governance.limits import refusals
from serve.governance.limits.accounts import Charge, Spent, outline_of
from serve.governance.limits.limits_file import parse_rules
from serve.storage.counting.counters import Balance, Decision
from tests.serve.governance.limits.limited import ANN, KNOWN, NOON_MS, PRICES

RULES = parse_rules(
    PRICES
    + """
[[limits]]
name = "each user"
user = "*"
requests_per_minute = 5
tokens_per_minute = 1000
concurrent_requests = 2
tokens_per_day = 2000
money_per_month = "1.00"
""",
    KNOWN,
)
PLAN = outline_of(RULES, RULES.limits, ANN, "demo", now_ms=NOON_MS).filled(
    Spent(requests=1, tokens=600, micros=300)
)
CHARGES = {charge.measure: charge for charge in (*PLAN.rates, *PLAN.budgets)}


def refused(charge: Charge, *, used: int, held: int, wait_ms: int | None = None) -> RequestError:
    limit = charge.claim.limit
    balance = Balance(account=charge.claim.account, settled=used, reserved=held, limit=limit)
    decision = Decision(refused=0, balances=(balance,), wait_ms=wait_ms)
    return refusals.refusal(RULES, [charge], decision)


@pytest.mark.parametrize(
    ("measure", "used", "held", "words"),
    [
        ("requests_per_minute", 3, 2, "5 requests a minute: 3 used, 2 reserved"),
        ("tokens_per_minute", 300, 200, "asks for up to 600; 500 left. Ask again in 3 s, or with"),
        ("concurrent_requests", 0, 2, "2 requests at once, and 2 run. Ask again when one is over"),
        ("tokens_per_day", 1500, 100, "2,000 tokens a day.* 400 tokens are left, the prompt's inc"),
        ("money_per_month", 999_900, 0, "1.00 EUR a month, of which 0.9999 EUR are used"),
    ],
)
def test_the_numbers_are_told(measure, used: int, held: int, words: str) -> None:
    error = refused(CHARGES[measure], used=used, held=held, wait_ms=2_100)
    assert "'each user' (per user)" in error.message
    with pytest.raises(type(error), match=words):
        raise error
    is_budget = measure in {"tokens_per_day", "money_per_month"}
    assert isinstance(error, InsufficientQuota if is_budget else RateLimited)


def test_what_can_never_fit_is_told_so() -> None:
    (charge,) = (
        outline_of(RULES, RULES.limits[:1], ANN, "demo", now_ms=NOON_MS)
        .filled(Spent(requests=1, tokens=1_001, micros=1))
        .rates[1:2]
    )
    assert "it can never fit" in refused(charge, used=0, held=0).message


def test_a_limit_of_nothing_has_no_time_to_wait() -> None:
    error = refusals.closed(RULES, CHARGES["tokens_per_minute"])
    assert isinstance(error, RateLimited)
    assert "retry-after" not in {name.lower() for name in error.headers}
