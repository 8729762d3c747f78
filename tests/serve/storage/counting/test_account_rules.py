"""The arithmetic of one account against fractions: nothing is rounded, and nothing overflows."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from serve.storage.counting import account_rules as rules
from serve.storage.counting.account_rules import Level, Usage
from serve.storage.counting.counters import Claim

amounts = st.one_of(st.integers(0, 100), st.integers(0, rules.MAX_AMOUNT))
leaks = st.one_of(st.integers(1, 100), st.integers(1, rules.MAX_LEAK_MS))


def claim_of(amount: int, limit: int, leak_ms: int | None, **more: bool) -> Claim:
    return Claim(account="a", amount=amount, limit=limit, leak_ms=leak_ms, keep_ms=1, **more)


def exact(level: Level, leak_ms: int) -> Fraction:
    return level.whole + Fraction(level.part, leak_ms)


@given(amounts, amounts, leaks, st.lists(st.integers(-1000, rules.MAX_LEAK_MS), max_size=6))
def test_leaking_in_steps_is_leaking_at_once(
    whole: int, limit: int, leak_ms: int, steps: list[int]
) -> None:
    claim = claim_of(0, limit, leak_ms)
    level, now_ms = Level(whole), 0
    for step in steps:
        level = rules.leaked(level, claim, max(now_ms, level.at_ms) + step)
        now_ms = max(now_ms, level.at_ms)
    assert exact(level, leak_ms) == max(0, whole - Fraction(limit * now_ms, leak_ms))
    assert 0 <= level.part < leak_ms


@given(amounts, st.integers(1, rules.MAX_AMOUNT), leaks, amounts, amounts)
def test_the_wait_is_the_first_millisecond_at_which_it_fits(
    whole: int, limit: int, leak_ms: int, reserved: int, amount: int
) -> None:
    claim = claim_of(amount, limit, leak_ms)
    usage = Usage(Level(whole, leak_ms - 1), reserved)
    if rules.first_refusing([claim], [usage]) is None:
        return
    wait_ms = rules.refused([claim], [usage], 0).wait_ms
    if wait_ms is None:
        assert reserved + amount > limit
        return
    fits = [
        rules.first_refusing(
            [claim], [Usage(rules.leaked(usage.level, claim, ms), reserved)]
        ) is None
        for ms in (wait_ms - 1, wait_ms)
    ]  # fmt: skip
    assert fits == [False, True]


@given(amounts, st.integers(1, rules.MAX_AMOUNT), leaks)
def test_it_is_kept_until_it_is_empty(whole: int, limit: int, leak_ms: int) -> None:
    claim = claim_of(0, limit, leak_ms)
    forget_at_ms = rules.forget_at_ms(Level(whole), claim, 0)
    left = rules.leaked(Level(whole), claim, forget_at_ms)
    assert left.rounded_up == 0 or forget_at_ms == rules.MAX_MS


def test_what_does_not_leak_stays() -> None:
    claim = claim_of(0, 10, None)
    assert rules.leaked(Level(7), claim, 10**13) == Level(7, 0, 10**13)
    assert rules.forget_at_ms(Level(7), claim, 5) == 6


def test_a_level_has_a_top_that_lua_can_hold() -> None:
    level = rules.added(Level(rules.MAX_LEVEL - 1), rules.MAX_AMOUNT)
    assert level.whole == rules.MAX_LEVEL
    assert rules.MAX_LEVEL + rules.MAX_AMOUNT < 2**53
    assert rules.MAX_LEAK_MS**2 < 2**53
    assert math.ceil(rules.MAX_LEVEL / 1) * 1 < 2**63


def test_a_part_of_another_leak_is_cut() -> None:
    level = rules.leaked(Level(3, 50_000), claim_of(0, 1, 100), 1)
    assert (level.whole, level.part) == (3, 98)
