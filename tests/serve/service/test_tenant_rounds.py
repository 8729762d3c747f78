"""Turns of tenants: shares in tokens, savings and debts, and who is passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.service.tenant_rounds import (
    MOST_SAVED_TOKENS,
    QUANTUM_TOKENS,
    MayBegin,
    TenantRounds,
    Ticket,
)


def ticket(tenant: str = "a", tokens: int = 100) -> Ticket:
    return Ticket(
        tenant=tenant, request_class="interactive", width=1, tokens=tokens, arrived_at=0.0
    )


def rounds_of(*tickets: Ticket, **weights: float) -> TenantRounds:
    rounds = TenantRounds(lambda tenant: weights.get(tenant, 1.0))
    for one in tickets:
        rounds.add(one)
    return rounds


def take(rounds: TenantRounds, may_begin: MayBegin = lambda _tenant: True) -> Ticket:
    one = rounds.take(may_begin)
    assert one is not None
    return one


def taken(rounds: TenantRounds, num: int) -> Iterator[Ticket]:
    for _ in range(num):
        yield take(rounds)


def shares(rounds: TenantRounds, num: int) -> Counter[str]:
    served: Counter[str] = Counter()
    for one in taken(rounds, num):
        served[one.tenant] += one.tokens
        rounds.end(one, one.tokens)
    return served


def test_who_may_not_begin_is_passed_over_and_keeps_its_turn() -> None:
    rounds = rounds_of(ticket("a"), ticket("b"), ticket("b"))
    assert take(rounds, lambda tenant: tenant == "b").tenant == "b"
    assert rounds.take(lambda _tenant: False) is None
    assert [one.tenant for one in taken(rounds, 2)] == ["a", "b"]


def test_who_has_used_up_its_turns_goes_after_who_has_saved_up() -> None:
    rounds = rounds_of(*(ticket("flood", MOST_SAVED_TOKENS) for _ in range(3)), ticket("b"))
    take(rounds, lambda tenant: tenant == "flood")
    assert take(rounds).tenant == "b"
    assert take(rounds).tenant == "flood"  # as many rounds as it takes


def test_who_may_not_begin_saves_up_no_turns_while_it_waits() -> None:
    flood = [ticket("flood", MOST_SAVED_TOKENS) for _ in range(3)]
    rounds = rounds_of(*flood, *(ticket("b", MOST_SAVED_TOKENS) for _ in range(9)))
    take(rounds, lambda tenant: tenant == "flood")
    for _ in range(5):
        take(rounds, lambda tenant: tenant == "b")
    assert flood[0].flow is not None
    assert flood[0].flow.deficit == 0
    served = [take(rounds).tenant for _ in range(2)]
    assert sorted(served) == ["b", "flood"], "it has its turns again, and not those before"


def test_one_tenant_is_served_first_come_first_served() -> None:
    tickets = [ticket(tokens=tokens) for tokens in (5, 5000, 1, 700)]
    assert list(taken(rounds_of(*tickets), 4)) == tickets


def test_tenants_share_tokens_and_not_requests() -> None:
    short = [ticket("short", 50) for _ in range(2000)]
    long = [ticket("long", 1000) for _ in range(200)]
    served = shares(rounds_of(*short, *long), 1000)
    assert served["short"] == pytest.approx(served["long"], rel=0.1)


def test_weights_are_shares() -> None:
    tickets = [ticket(tenant, 100) for tenant in "abc" for _ in range(2000)]
    served = shares(rounds_of(*tickets, a=4, b=2), 1400)
    assert served["a"] == pytest.approx(2 * served["b"], rel=0.1)
    assert served["b"] == pytest.approx(2 * served["c"], rel=0.1)


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_a_weight_is_above_zero(weight: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        rounds_of(ticket("a"), a=weight)


def test_a_tenant_that_has_just_come_is_before_a_flood() -> None:
    rounds = rounds_of(*(ticket("flood") for _ in range(1000)))
    list(taken(rounds, 50))
    rounds.add(newcomer := ticket("b"))
    assert take(rounds) is newcomer


def test_who_comes_again_at_once_is_not_always_new() -> None:
    rounds = rounds_of(*(ticket("flood") for _ in range(1000)), ticket("b"))
    served: Counter[str] = Counter()
    for _ in range(400):
        one = take(rounds)
        served[one.tenant] += one.tokens
        rounds.end(one, one.tokens)
        if one.tenant == "b":  # its next one comes as soon as this one is over
            rounds.add(ticket("b"))
    assert served["b"] <= served["flood"] + MOST_SAVED_TOKENS


def test_a_tenant_pays_for_what_it_really_used() -> None:
    """Both are counted 100 a request; one turns out to use ten times as many."""
    rounds = rounds_of(*(ticket(tenant, 100) for tenant in ("more", "less") for _ in range(2000)))
    used: Counter[str] = Counter()
    for one in taken(rounds, 1500):
        tokens = 1000 if one.tenant == "more" else 100
        used[one.tenant] += tokens
        rounds.end(one, tokens)
    assert used["more"] == pytest.approx(used["less"], rel=0.1)


def test_a_debt_of_many_rounds_is_paid_in_one_step() -> None:
    rounds = rounds_of(
        ticket("a", 10**9), ticket("a"), ticket("b"), ticket("b", 10**9), ticket("b")
    )
    assert [one.tenant for one in taken(rounds, 5)] == ["a", "b", "b", "a", "b"]


def test_saved_turns_are_bounded() -> None:
    """A tenant that waits seldom goes before a flood with a burst, and not with a flood."""
    rounds = rounds_of(*(ticket("flood", 100) for _ in range(1000)))
    list(taken(rounds, 500))
    for _ in range(200):
        rounds.add(ticket("b", 100))
    first = [one.tenant for one in taken(rounds, 200)]
    assert first[: MOST_SAVED_TOKENS // 100] == ["b"] * (MOST_SAVED_TOKENS // 100)
    rest = first[MOST_SAVED_TOKENS // 100 + 1 :]
    assert rest.count("flood") == pytest.approx(len(rest) / 2, abs=2)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3000)), min_size=8, max_size=40))
def test_no_tenant_that_waits_gets_less_than_its_turn(requests: list[tuple[str, int]]) -> None:
    """Deficit round robin's bound: while all wait, no two differ by more than what may be saved, a
    turn, and a request of each."""
    rounds = rounds_of(*(ticket(tenant, tokens) for tenant, tokens in requests))
    left = Counter(tenant for tenant, _ in requests)
    most = max(tokens for _, tokens in requests)
    served: Counter[str] = Counter(dict.fromkeys("abc", 0))
    while rounds.tickets and len([t for t in left if left[t] > 0]) == len(left):
        one = take(rounds)
        served[one.tenant] += one.tokens
        left[one.tenant] -= 1
        for tenant in left:
            gap = max(served[t] for t in left) - served[tenant]
            assert gap <= MOST_SAVED_TOKENS + QUANTUM_TOKENS + 2 * most
