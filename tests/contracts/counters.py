"""The Counters contract as tests: what serve/storage/counting/counters.py says of every store.

Subclass ``CountersContract`` for each store, with a fixture ``harness``.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import pytest

from serve.storage.counting import account_rules as rules
from serve.storage.counting.counters import Balance, Claim, Counters

LEASE_MS = 10_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
HUGE = 10**12


class Harness(ABC):
    """A store whose clock the test moves, forward and backward.

    Attributes:
        counters: of the store.
    """

    counters: Counters

    @abstractmethod
    async def move_clock(self, ms: int) -> None:
        """Let time pass, or set the clock back."""


def budget(amount: int, limit: int = 100, account: str = "budget", **more: Any) -> Claim:
    return Claim(account=account, amount=amount, limit=limit, keep_ms=40 * 24 * HOUR_MS, **more)


def rate(amount: int, limit: int = 100, account: str = "rate", **more: Any) -> Claim:
    return Claim(
        **{
            "account": account,
            "amount": amount,
            "limit": limit,
            "leak_ms": MINUTE_MS,
            "keep_ms": MINUTE_MS,
            **more,
        }
    )


class CountersContract:
    """Every store passes these."""

    @pytest.fixture
    def counters(self, harness: Harness) -> Counters:
        return harness.counters

    async def held(self, counters: Counters, claim: Claim) -> tuple[int, int]:
        """What is settled and reserved in the claim's account."""
        (balance,) = await counters.balances([claim])
        return balance.settled, balance.reserved

    async def test_what_is_reserved_and_settled_is_told(self, counters: Counters) -> None:
        decision = await counters.reserve("a", [budget(60)], lease_ms=LEASE_MS)
        assert decision.refused is None
        assert decision.balances == (Balance(account="budget", settled=0, reserved=60, limit=100),)
        assert await counters.settle("a", [budget(45)])
        assert await self.held(counters, budget(0)) == (45, 0)
        decision = await counters.reserve("b", [budget(55)], lease_ms=LEASE_MS)
        assert decision.refused is None
        assert decision.balances[0].remaining == 0

    async def test_all_or_nothing_and_the_first_that_refuses(self, counters: Counters) -> None:
        claims = [
            budget(1, account="roomy"),
            budget(101, account="tight"),
            budget(200, account="tighter"),
        ]
        decision = await counters.reserve("a", claims, lease_ms=LEASE_MS)
        assert decision.refused == 1
        assert decision.wait_ms is None
        assert [each.reserved for each in decision.balances] == [0, 0, 0]
        for claim in claims:
            assert await self.held(counters, claim) == (0, 0)
        decision = await counters.reserve("a", claims[:1], lease_ms=LEASE_MS)
        assert decision.refused is None, "a refusal leaves nothing of its id"

    async def test_a_limit_that_is_observed_refuses_nobody(self, counters: Counters) -> None:
        watched = budget(150, account="watched", is_enforced=False)
        decision = await counters.reserve("a", [budget(10), watched], lease_ms=LEASE_MS)
        assert (decision.refused, decision.over) == (None, (1,))
        assert await self.held(counters, watched) == (0, 150)
        decision = await counters.reserve("b", [watched, budget(91)], lease_ms=LEASE_MS)
        assert (decision.refused, decision.over) == (1, ())
        await counters.settle("a", [budget(10), watched])
        assert await self.held(counters, watched) == (150, 0)
        fits = replace(watched, amount=0, limit=150)
        assert (await counters.reserve("c", [fits], lease_ms=LEASE_MS)).over == ()

    async def test_of_many_at_once_exactly_those_that_fit(self, counters: Counters) -> None:
        decisions = await asyncio.gather(
            *(counters.reserve(f"r{i}", [budget(9)], lease_ms=LEASE_MS) for i in range(40))
        )
        assert sum(decision.refused is None for decision in decisions) == 11
        assert {each.balances[0].reserved for each in decisions} == {9 * i for i in range(1, 12)}

    async def test_a_full_account_leaks_empty(self, harness: Harness) -> None:
        counters = harness.counters
        await counters.reserve("a", [rate(100)], lease_ms=LEASE_MS)
        await counters.settle("a", [rate(100)])
        await harness.move_clock(599)
        assert await self.held(counters, rate(0)) == (100, 0), "rounded up"
        await harness.move_clock(1)
        assert await self.held(counters, rate(0)) == (99, 0)
        await harness.move_clock(MINUTE_MS - 601)
        assert await self.held(counters, rate(0)) == (1, 0)
        await harness.move_clock(1)
        assert await self.held(counters, rate(0)) == (0, 0)

    async def test_no_rounding_is_lost_in_many_steps(self, harness: Harness) -> None:
        """7 in 60 s: a 60,000th part of what leaks in a millisecond would show here."""
        counters = harness.counters
        await counters.settle("first", [rate(7, 7)])
        for number in range(60):
            await harness.move_clock(137)
            await counters.settle(f"s{number}", [rate(0, 7)])
        await harness.move_clock(MINUTE_MS - 60 * 137 - 1)
        assert await self.held(counters, rate(0, 7)) == (1, 0)
        await harness.move_clock(1)
        assert await self.held(counters, rate(0, 7)) == (0, 0)

    async def test_the_wait_is_exact(self, harness: Harness) -> None:
        counters = harness.counters
        await counters.settle("first", [rate(97, 97)])
        decision = await counters.reserve("a", [rate(40, 97)], lease_ms=LEASE_MS)
        assert decision.refused == 0
        assert decision.wait_ms == -(-40 * MINUTE_MS // 97)
        await harness.move_clock(decision.wait_ms - 1)
        decision = await counters.reserve("a", [rate(40, 97)], lease_ms=LEASE_MS)
        assert decision.wait_ms == 1
        await harness.move_clock(1)
        assert (await counters.reserve("a", [rate(40, 97)], lease_ms=LEASE_MS)).refused is None

    async def test_no_wait_is_told_where_none_is_known(self, counters: Counters) -> None:
        decision = await counters.reserve("a", [rate(101)], lease_ms=LEASE_MS)
        assert (decision.refused, decision.wait_ms) == (0, None), "more than the limit"
        await counters.reserve("b", [rate(60)], lease_ms=LEASE_MS)
        decision = await counters.reserve("c", [rate(60)], lease_ms=LEASE_MS)
        assert (decision.refused, decision.wait_ms) == (0, None), "held by one that runs"
        decision = await counters.reserve("d", [rate(0, 0, "none")], lease_ms=LEASE_MS)
        assert decision.refused is None, "nothing of nothing fits"

    async def test_the_wait_is_the_longest_of_those_known(self, counters: Counters) -> None:
        fast, slow = rate(100, account="fast"), rate(100, account="slow", leak_ms=2 * MINUTE_MS)
        await counters.settle("first", [fast, slow])
        decision = await counters.reserve("a", [fast, slow, budget(101)], lease_ms=LEASE_MS)
        assert (decision.refused, decision.wait_ms) == (0, 2 * MINUTE_MS)

    async def test_a_lease_ends_and_gives_its_room_back(self, harness: Harness) -> None:
        counters = harness.counters
        claims = [budget(100), budget(1, 1, "at once")]
        await counters.reserve("killed", claims, lease_ms=LEASE_MS)
        await harness.move_clock(LEASE_MS - 1)
        assert (await counters.reserve("b", claims, lease_ms=LEASE_MS)).refused == 0
        await harness.move_clock(1)
        assert await self.held(counters, claims[0]) == (0, 0)
        assert (await counters.reserve("b", claims, lease_ms=LEASE_MS)).refused is None

    async def test_leases_that_are_extended_go_on(self, harness: Harness) -> None:
        counters = harness.counters
        for name in ("a", "b"):
            await counters.reserve(name, [budget(50)], lease_ms=LEASE_MS)
        for _ in range(3):
            await harness.move_clock(LEASE_MS - 1)
            await counters.extend(["a", "nobody"], lease_ms=LEASE_MS)
        assert await self.held(counters, budget(0)) == (0, 50)
        await harness.move_clock(LEASE_MS)
        await counters.extend(["a"], lease_ms=LEASE_MS)
        assert await self.held(counters, budget(0)) == (0, 0), "an ended one stays ended"

    async def test_an_extension_may_be_shorter(self, harness: Harness) -> None:
        counters = harness.counters
        await counters.reserve("a", [budget(50)], lease_ms=LEASE_MS)
        await counters.extend(["a"], lease_ms=100)
        await harness.move_clock(100)
        assert await self.held(counters, budget(0)) == (0, 0)

    async def test_many_are_extended_at_once(self, harness: Harness) -> None:
        counters = harness.counters
        ids = [f"r{number}" for number in range(5)]
        for each in ids:
            await counters.reserve(each, [budget(1)], lease_ms=LEASE_MS)
        await counters.extend([*(f"x{n}" for n in range(1200)), *ids], lease_ms=2 * LEASE_MS)
        await harness.move_clock(2 * LEASE_MS - 1)
        assert await self.held(counters, budget(0)) == (0, 5)
        await counters.extend([], lease_ms=LEASE_MS)

    async def test_late_settlement_counts(self, harness: Harness) -> None:
        counters = harness.counters
        await counters.reserve("a", [budget(60)], lease_ms=LEASE_MS)
        await harness.move_clock(LEASE_MS + 1)
        await counters.reserve("b", [budget(60)], lease_ms=LEASE_MS)
        assert await counters.settle("a", [budget(55)])
        assert await self.held(counters, budget(0)) == (55, 60)
        assert await counters.settle("b", [budget(60)])
        assert await self.held(counters, budget(0)) == (115, 0), "beyond the limit"
        assert (await counters.reserve("c", [budget(0)], lease_ms=LEASE_MS)).refused == 0

    async def test_a_second_settlement_changes_nothing(self, harness: Harness) -> None:
        counters = harness.counters
        await counters.reserve("a", [budget(60)], lease_ms=LEASE_MS)
        settled = [await counters.settle("a", [budget(10)]) for _ in range(3)]
        assert settled == [True, False, False]
        await harness.move_clock(rules.TOMBSTONE_MS - 1)
        assert not await counters.settle("a", [budget(10)])
        assert await self.held(counters, budget(0)) == (10, 0)

    async def test_a_second_reservation_changes_nothing(self, harness: Harness) -> None:
        counters = harness.counters
        for amount in (60, 60, 5):
            decision = await counters.reserve("a", [budget(amount)], lease_ms=LEASE_MS)
            assert decision.refused is None
            assert decision.balances[0].reserved == 60
        await counters.settle("a", [budget(1)])
        decision = await counters.reserve("a", [budget(60)], lease_ms=LEASE_MS)
        assert (decision.refused, decision.balances[0].reserved) == (None, 0)
        assert await self.held(counters, budget(0)) == (1, 0)

    async def test_an_id_whose_lease_has_ended_is_free(self, harness: Harness) -> None:
        counters = harness.counters
        await counters.reserve("a", [budget(60), budget(1, account="x")], lease_ms=LEASE_MS)
        await harness.move_clock(LEASE_MS)
        await counters.reserve("a", [budget(70)], lease_ms=2 * LEASE_MS)
        assert await self.held(counters, budget(0)) == (0, 70)
        assert await self.held(counters, budget(0, account="x")) == (0, 0)
        await counters.settle("a", [budget(7)])
        assert await self.held(counters, budget(0)) == (7, 0)

    async def test_an_id_that_nobody_reserved_is_settled_once(self, counters: Counters) -> None:
        """The reply was lost, and maybe the call: what was used counts."""
        assert await counters.settle("unknown", [budget(30)])
        assert not await counters.settle("unknown", [budget(30)])
        assert await self.held(counters, budget(0)) == (30, 0)

    async def test_other_accounts_may_be_settled_than_were_reserved(
        self, counters: Counters
    ) -> None:
        await counters.reserve("a", [budget(60), budget(5, account="x")], lease_ms=LEASE_MS)
        assert await counters.settle("a", [budget(20, account="y")])
        for account, held in (("budget", (0, 0)), ("x", (0, 0)), ("y", (20, 0))):
            assert await self.held(counters, budget(0, account=account)) == held

    async def test_concurrency_is_settled_with_nothing(self, counters: Counters) -> None:
        at_once = budget(1, 2, "at once")
        for name in ("a", "b"):
            assert (await counters.reserve(name, [at_once], lease_ms=LEASE_MS)).refused is None
        assert (await counters.reserve("c", [at_once], lease_ms=LEASE_MS)).refused == 0
        await counters.settle("a", [replace(at_once, amount=0)])
        assert (await counters.reserve("c", [at_once], lease_ms=LEASE_MS)).refused is None

    async def test_nothing_is_claimed(self, counters: Counters) -> None:
        for _ in range(2):
            decision = await counters.reserve("a", [], lease_ms=LEASE_MS)
            assert (decision.refused, decision.balances) == (None, ())
        await counters.extend(["a"], lease_ms=LEASE_MS)
        assert await counters.settle("a", [])
        assert not await counters.settle("a", [])
        assert await counters.balances([]) == ()

    async def test_huge_amounts_are_exact(self, harness: Harness) -> None:
        counters = harness.counters
        claims = [budget(HUGE - 1, HUGE), rate(HUGE - 1, HUGE)]
        assert (await counters.reserve("a", claims, lease_ms=LEASE_MS)).refused is None
        more = [replace(claim, amount=2) for claim in claims]
        assert (await counters.reserve("b", more, lease_ms=LEASE_MS)).refused == 0
        await counters.settle("a", claims)
        more = [replace(claim, amount=1) for claim in claims]
        assert (await counters.reserve("b", more, lease_ms=LEASE_MS)).refused is None
        await counters.settle("b", more)
        await harness.move_clock(1)
        balances = await counters.balances(more)
        assert balances[0].settled == HUGE
        assert balances[1].settled == HUGE - HUGE // MINUTE_MS
        for number in range(8):
            await counters.settle(f"s{number}", [replace(claim, amount=HUGE) for claim in claims])
        assert await self.held(counters, claims[0]) == (9 * HUGE, 0)

    async def test_a_clock_that_is_set_back_changes_nothing(self, harness: Harness) -> None:
        counters = harness.counters
        claims = [budget(50), rate(100)]
        await counters.settle("first", [rate(100)])
        await counters.reserve("a", claims[:1], lease_ms=LEASE_MS)
        await harness.move_clock(-24 * HOUR_MS)
        await counters.extend([], lease_ms=LEASE_MS)  # the first call after it goes on from there
        assert await self.held(counters, rate(0)) == (100, 0)
        assert await self.held(counters, budget(0)) == (0, 50)
        await harness.move_clock(6_000)
        assert await self.held(counters, rate(0)) == (90, 0), "it leaks on"
        await harness.move_clock(4_000)
        assert await self.held(counters, budget(0)) == (0, 0), "the lease ended in its time"

    async def test_a_clock_that_is_set_forward_empties_and_no_more(self, harness: Harness) -> None:
        counters = harness.counters
        await counters.settle("first", [rate(100), budget(100)])
        await harness.move_clock(24 * HOUR_MS)
        assert await self.held(counters, rate(0)) == (0, 0)
        assert await self.held(counters, budget(0)) == (100, 0)
        assert (await counters.reserve("a", [rate(101)], lease_ms=LEASE_MS)).refused == 0

    async def test_a_limit_may_change(self, harness: Harness) -> None:
        counters = harness.counters
        await counters.settle("first", [rate(100)])
        assert (await counters.reserve("a", [rate(20, 120)], lease_ms=LEASE_MS)).refused is None
        await harness.move_clock(30_000)
        assert await self.held(counters, rate(0, 120)) == (40, 0)
        assert (await counters.reserve("b", [rate(1, 40)], lease_ms=LEASE_MS)).refused == 0

    @pytest.mark.parametrize(
        "claim",
        [
            budget(-1),
            budget(HUGE + 1),
            budget(1, -1),
            budget(1, HUGE + 1),
            budget(1, account=""),
            budget(1, account="x" * 513),
            rate(1, leak_ms=0),
            rate(1, leak_ms=rules.MAX_LEAK_MS + 1),
            rate(1, keep_ms=0),
        ],
    )
    async def test_a_claim_out_of_range_is_an_error(self, counters: Counters, claim: Claim) -> None:
        for call in (
            counters.reserve("a", [claim], lease_ms=LEASE_MS),
            counters.settle("a", [claim]),
            counters.balances([claim]),
        ):
            with pytest.raises(ValueError, match=r"is |characters"):
                await call

    async def test_a_call_out_of_range_is_an_error(self, counters: Counters) -> None:
        with pytest.raises(ValueError, match="lease_ms is 0"):
            await counters.reserve("a", [], lease_ms=0)
        with pytest.raises(ValueError, match="characters, not 65"):
            await counters.settle("x" * 65, [])
        with pytest.raises(ValueError, match="characters, not 0"):
            await counters.extend([""], lease_ms=1)
        with pytest.raises(ValueError, match="two claims are of one account"):
            await counters.reserve("a", [budget(1), budget(2)], lease_ms=1)
        with pytest.raises(ValueError, match="65 claims at once: at most 64"):
            await counters.balances([budget(1, account=f"a{n}") for n in range(65)])

    async def test_names_are_taken_as_they_are(self, counters: Counters) -> None:
        names = ["a b", "a:b", "{a}", "r:a", "Ω·机", "%s", "'; --", "x" * 512, "A B"]
        claims = [budget(number, account=name) for number, name in enumerate(names, start=1)]
        await counters.reserve("{id}:'", claims, lease_ms=LEASE_MS)
        balances = await counters.balances(claims)
        assert [each.reserved for each in balances] == list(range(1, 10))
        assert [each.account for each in balances] == names
        await counters.settle("{id}:'", claims)
        balances = await counters.balances(claims)
        assert [(each.settled, each.reserved) for each in balances] == [
            (n, 0) for n in range(1, 10)
        ]
