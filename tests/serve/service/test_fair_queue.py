"""The order of the queue: shares in tokens, classes, aging, and that nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from serve.service.fair_queue import AGE_S, AGED_EVERY, FairQueue
from serve.service.tenant_rounds import Ticket
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
