"""The order of the queue: shares in tokens, classes, aging, and that nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.service.fair_queue import AGE_S, AGED_EVERY, FairQueue
from serve.service.tenant_rounds import MOST_SAVED_TOKENS, QUANTUM_TOKENS, Ticket
from serve.timeline import RequestClass


def ticket(
    tenant: str = "a",
    tokens: int = 100,
    *,
    request_class: RequestClass = "interactive",
    arrived_at: float = 0.0,
) -> Ticket:
    return Ticket(
        tenant=tenant,
        request_class=request_class,
        width=1,
        tokens=tokens,
        arrived_at=arrived_at,
    )


def queue_of(*tickets: Ticket, **weights: float) -> FairQueue:
    queue = FairQueue(lambda tenant: weights.get(tenant, 1.0))
    for one in tickets:
        queue.add(one)
    return queue


def taken(queue: FairQueue, num: int, now: float = 0.0) -> Iterator[Ticket]:
    for _ in range(num):
        yield queue.take(now)


def shares(queue: FairQueue, num: int) -> Counter[str]:
    served: Counter[str] = Counter()
    for one in taken(queue, num):
        served[one.tenant] += one.tokens
        queue.end(one, one.tokens)
    return served


def test_one_tenant_is_served_first_come_first_served() -> None:
    tickets = [ticket(tokens=tokens) for tokens in (5, 5000, 1, 700)]
    assert list(taken(queue_of(*tickets), 4)) == tickets


def test_tenants_share_tokens_and_not_requests() -> None:
    short = [ticket("short", 50) for _ in range(2000)]
    long = [ticket("long", 1000) for _ in range(200)]
    served = shares(queue_of(*short, *long), 1000)
    assert served["short"] == pytest.approx(served["long"], rel=0.1)


def test_weights_are_shares() -> None:
    tickets = [ticket(tenant, 100) for tenant in "abc" for _ in range(2000)]
    served = shares(queue_of(*tickets, a=4, b=2), 1400)
    assert served["a"] == pytest.approx(2 * served["b"], rel=0.1)
    assert served["b"] == pytest.approx(2 * served["c"], rel=0.1)


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_a_weight_is_above_zero(weight: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        queue_of(ticket("a"), a=weight)


def test_a_tenant_that_has_just_come_is_before_a_flood() -> None:
    queue = queue_of(*(ticket("flood") for _ in range(1000)))
    list(taken(queue, 50))
    queue.add(newcomer := ticket("b"))
    assert queue.take(0.0) is newcomer


def test_who_comes_again_at_once_is_not_always_new() -> None:
    queue = queue_of(*(ticket("flood") for _ in range(1000)), ticket("b"))
    served: Counter[str] = Counter()
    for _ in range(400):
        one = queue.take(0.0)
        served[one.tenant] += one.tokens
        queue.end(one, one.tokens)
        if one.tenant == "b":  # its next one comes as soon as this one is over
            queue.add(ticket("b"))
    assert served["b"] <= served["flood"] + MOST_SAVED_TOKENS


def test_a_tenant_pays_for_what_it_really_used() -> None:
    """Both are counted 100 a request; one turns out to use ten times as many."""
    queue = queue_of(*(ticket(tenant, 100) for tenant in ("more", "less") for _ in range(2000)))
    used: Counter[str] = Counter()
    for one in taken(queue, 1500):
        tokens = 1000 if one.tenant == "more" else 100
        used[one.tenant] += tokens
        queue.end(one, tokens)
    assert used["more"] == pytest.approx(used["less"], rel=0.1)


def test_a_debt_of_many_rounds_is_paid_in_one_step() -> None:
    queue = queue_of(ticket("a", 10**9), ticket("a"), ticket("b"), ticket("b", 10**9), ticket("b"))
    assert [one.tenant for one in taken(queue, 5)] == ["a", "b", "b", "a", "b"]


def test_a_class_waits_for_those_above_it() -> None:
    later = ticket(request_class="interactive")
    queue = queue_of(ticket(request_class="background"), ticket(request_class="batch"), later)
    assert queue.ahead_of("background", "a").requests == 3
    assert queue.ahead_of("interactive", "z").requests == 0
    order = [one.request_class for one in taken(queue, 3)]
    assert order == ["interactive", "batch", "background"]


def test_a_class_that_has_waited_too_long_gets_one_turn_in_eight() -> None:
    queue = queue_of(*(ticket() for _ in range(800)))
    for _ in range(100):
        queue.add(ticket(request_class="batch"))
        queue.add(ticket(request_class="background"))
    young = Counter(one.request_class for one in taken(queue, 80, now=AGE_S["batch"] - 1))
    assert young == {"interactive": 80}
    old = Counter(one.request_class for one in taken(queue, 160, now=AGE_S["batch"] + 1))
    assert old == {"interactive": 160 - 160 // AGED_EVERY, "batch": 160 // AGED_EVERY}
    oldest = Counter(one.request_class for one in taken(queue, 400, now=10 * AGE_S["background"]))
    assert oldest["interactive"] == 350
    assert oldest["batch"] + oldest["background"] == 50
    assert oldest["batch"] > 0


def test_places_are_told_within_what_tenants_share() -> None:
    flood = [ticket("flood", 512) for _ in range(100)]
    queue = queue_of(*flood)
    assert queue.ahead(flood[7]).requests == 7
    assert queue.ahead(flood[7]).tokens == 7 * 512
    assert queue.ahead_of("interactive", "new").requests == 0
    queue.add(ticket("other", 512))
    assert queue.ahead(flood[7]).requests == 8
    assert queue.ahead(flood[50]).requests == 51  # the other's one, and no more
    assert queue.ahead_of("interactive", "flood").requests == 101


def test_saved_turns_are_bounded() -> None:
    """A tenant that waits seldom goes before a flood with a burst, and not with a flood."""
    queue = queue_of(*(ticket("flood", 100) for _ in range(1000)))
    list(taken(queue, 500))
    for _ in range(200):
        queue.add(ticket("b", 100))
    first = [one.tenant for one in taken(queue, 200)]
    assert first[: MOST_SAVED_TOKENS // 100] == ["b"] * (MOST_SAVED_TOKENS // 100)
    rest = first[MOST_SAVED_TOKENS // 100 + 1 :]
    assert rest.count("flood") == pytest.approx(len(rest) / 2, abs=2)


def test_where_the_queue_is_full_whoever_has_most_makes_room() -> None:
    flood = [ticket("flood") for _ in range(9)]
    few = [ticket("b") for _ in range(3)]
    queue = queue_of(*flood, *few, b=2.0)
    assert queue.last_for("interactive", "new") is flood[-1]
    assert queue.last_for("interactive", "b") is flood[-1]
    assert queue.last_for("interactive", "flood") is None
    assert queue.last_for("batch", "new") is None
    queue.add(lower := ticket("new", request_class="background"))
    assert queue.last_for("interactive", "flood") is lower
    assert queue.last_for("batch", "flood") is lower
    assert queue.last_for("background", "new") is None


def test_tenants_that_have_as_much_put_nobody_out() -> None:
    queue = queue_of(*(ticket(tenant) for tenant in "aabbcc"))
    assert queue.last_for("interactive", "a") is None
    assert queue.last_for("interactive", "d") is not None
    assert queue_of().last_for("interactive", "a") is None


@given(st.data())
def test_nothing_is_lost_whoever_leaves(data: st.DataObject) -> None:
    """Any order of coming, leaving, turns and ends: each ticket once, and counts that are true."""
    queue = queue_of(b=3.0)
    waiting: list[Ticket] = []
    begun: list[Ticket] = []
    for now in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(["add", "add", "add", "take", "take", "leave", "end"]))
        if action == "add":
            one = ticket(
                data.draw(st.sampled_from("abc")),
                data.draw(st.integers(1, 5000)),
                request_class=data.draw(st.sampled_from(["interactive", "batch", "background"])),
                arrived_at=now,
            )
            queue.add(one)
            waiting.append(one)
        elif action == "take" and waiting:
            one = queue.take(now)
            first = next(
                w for w in waiting if (w.tenant, w.request_class) == (one.tenant, one.request_class)
            )
            assert one is first  # of its tenant and class the oldest
            waiting.remove(one)
            begun.append(one)
        elif action == "leave" and waiting:
            one = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            queue.remove(one)
        elif action == "end" and begun:
            queue.end(begun.pop(), data.draw(st.integers(0, 10_000)))
        assert queue.num_waiting == len(waiting)
        assert queue.num_tokens == sum(one.tokens for one in waiting)
        for one in waiting:
            assert queue.ahead(one).requests < len(waiting)
    rest = [queue.take(1e6) for _ in range(queue.num_waiting)]
    assert sorted(map(id, rest)) == sorted(map(id, waiting))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3000)), min_size=8, max_size=40))
def test_no_tenant_that_waits_gets_less_than_its_turn(requests: list[tuple[str, int]]) -> None:
    """Deficit round robin's bound: while all wait, no two differ by more than what may be saved, a
    turn, and a request of each."""
    queue = queue_of(*(ticket(tenant, tokens) for tenant, tokens in requests))
    left = Counter(tenant for tenant, _ in requests)
    most = max(tokens for _, tokens in requests)
    served: Counter[str] = Counter(dict.fromkeys("abc", 0))
    while queue.num_waiting and len([t for t in left if left[t] > 0]) == len(left):
        one = queue.take(0.0)
        served[one.tenant] += one.tokens
        left[one.tenant] -= 1
        for tenant in left:
            gap = max(served[t] for t in left) - served[tenant]
            assert gap <= MOST_SAVED_TOKENS + QUANTUM_TOKENS + 2 * most
