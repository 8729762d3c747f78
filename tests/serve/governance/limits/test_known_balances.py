"""Budgets known to be used up: refused without asking, and never wrongly."""

from __future__ import annotations

from dataclasses import replace

from serve.governance.limits.accounts import Charge
from serve.governance.limits.known_balances import KNOWN_FOR_S, KnownBalances
from serve.governance.limits.rules import Limit
from serve.storage.counting.counters import Balance, Claim

CHARGE = Charge(
    limit=Limit(name="x", bounds={"tokens_per_day": 100}),
    measure="tokens_per_day",
    claim=Claim(account="a", amount=1, limit=100, keep_ms=1),
    ends_at_ms=1,
)


def balance(settled: int, reserved: int = 0) -> Balance:
    return Balance(account="a", settled=settled, reserved=reserved, limit=100)


def test_only_what_was_used_counts_and_not_for_long() -> None:
    now = [0.0]
    known = KnownBalances(lambda: now[0])
    known.note([CHARGE], [balance(50, reserved=50)])
    assert known.used_up([CHARGE]) is None
    known.note([CHARGE], [balance(100)])
    assert known.used_up([CHARGE]) == (CHARGE, balance(100))
    raised = replace(CHARGE, claim=replace(CHARGE.claim, limit=200))
    assert known.used_up([raised]) is None
    free = replace(CHARGE, claim=replace(CHARGE.claim, amount=0))
    assert known.used_up([free]) is None
    observed = replace(CHARGE, claim=replace(CHARGE.claim, is_enforced=False))
    assert known.used_up([observed]) is None
    now[0] = KNOWN_FOR_S
    assert known.used_up([CHARGE]) is None


def test_room_that_is_seen_is_known() -> None:
    known = KnownBalances()
    known.note([CHARGE], [balance(100)])
    known.note([CHARGE], [balance(20)])
    assert known.used_up([CHARGE]) is None
