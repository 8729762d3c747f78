"""A replica against what can be computed by hand."""

from __future__ import annotations

import pytest

from benchmarks.scaling.arrivals import Request
from benchmarks.scaling.replica import Costs, Replica

ONE = Costs(start_s=60, first_token_s=0.1, one_s=0.1, full_s=0.2, slots=2, queue=2)


def at(*times: float, tokens: int = 10) -> list[Request]:
    return [Request(at_s=time, tokens=tokens) for time in times]


def replica(costs: Costs = ONE) -> Replica:
    return Replica(costs=costs, born_at=0, ready_at=0)


def test_a_request_alone_takes_what_was_measured():
    one = replica()
    one.take(Request(at_s=0, tokens=10))
    assert one.first_tokens == [(Request(at_s=0, tokens=10), 0.1)]
    assert one.ends_at() == pytest.approx(1.0)


def test_two_at_once_are_each_slower_and_together_faster():
    one = replica()
    for request in at(0, 0):
        one.take(request)
    assert one.ends_at() == pytest.approx(2.0)


def test_the_third_waits_for_a_slot():
    one = replica()
    for request in at(0, 0, 0):
        one.take(request)
    assert len(one.waiting) == 1
    one.advance(2.5)
    (_, begun) = one.first_tokens[2]
    assert begun == pytest.approx(2.0 + 0.2)  # its prefill beside the other, whose tokens end too
    assert not one.waiting


def test_a_join_slows_the_one_that_runs_from_then_on():
    one = replica()
    one.take(Request(at_s=0, tokens=10))
    one.advance(0.5)  # five tokens
    one.take(Request(at_s=0.5, tokens=5))
    assert one.ends_at() == pytest.approx(0.5 + 5 * 0.2)


def test_the_kv_cache_fills_and_empties():
    one = replica(Costs(**{**vars_of(ONE), "kv_tokens": 1000, "prompt_tokens": 100}))
    assert one.kv_use() == 0
    one.take(Request(at_s=0, tokens=100))
    assert 0.1 < one.kv_use() < 0.2
    one.ends_at()
    assert one.kv_use() == 0


def vars_of(costs: Costs) -> dict[str, float]:
    return {name: getattr(costs, name) for name in costs.__slots__}


def test_a_sequence_runs_until_its_very_end():
    one = replica()
    one.take(Request(at_s=0, tokens=10))
    one.advance(0.95)
    assert one.load == 1
    one.advance(1.001)
    assert one.load == 0


def test_a_replica_that_starts_begins_when_it_is_ready():
    one = Replica(costs=ONE, born_at=0, ready_at=60)
    one.take(Request(at_s=5, tokens=1))
    assert one.first_tokens[0][1] == pytest.approx(60.1)
    assert not one.is_ready(59.9)
    assert one.is_ready(60)
    one.is_leaving = True
    assert not one.is_ready(60)


def test_there_is_room_for_the_slots_and_the_queue():
    one = replica()
    for request in at(0, 0, 0):
        one.take(request)
    assert one.has_room
    one.take(Request(at_s=0, tokens=1))
    assert not one.has_room


def test_one_slot_has_one_pace():
    alone = Costs(**{**vars_of(ONE), "slots": 1})
    assert alone.between_tokens_s(1) == ONE.one_s
    assert ONE.between_tokens_s(2) == ONE.full_s
