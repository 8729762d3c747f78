"""Open calls: found in a log without reading all of it, whatever its beginning holds."""

from __future__ import annotations

import random
from typing import Any

from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.records.open_calls import (
    OpenCalls,
    begun_and_not_ended,
    first_to_read,
)


class Reads:
    """A log that notes what is read of it."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.entries = [encoded(record) for record in records]
        self.read_indices: set[int] = set()

    def __call__(self, start: int, end: int) -> list[bytes]:
        self.read_indices |= set(range(start, end))
        return self.entries[start:end]


def test_calls_without_an_end_are_found_wherever_they_are() -> None:
    source = random.Random(1)
    records: list[dict[str, Any]] = []
    open_calls = OpenCalls()
    expected: dict[str, int] = {}
    for number in range(2000):
        if expected and source.random() < 0.5:
            request_id = source.choice(list(expected))
            del expected[request_id]
            open_calls.remove(request_id)
            records.append({"type": "end", "id": request_id})
        else:
            open_calls.add(f"r{number}", len(records))
            expected[f"r{number}"] = len(records)
            records.append({"type": "begin", "id": f"r{number}"})
        if number % 500 == 499:
            least = open_calls.least_index(len(records))
            records.append({"type": "heartbeat", "open_from": least})
        if number % 100 == 99:
            log = Reads(records)
            start = first_to_read(log, len(records))
            assert begun_and_not_ended(log, start, len(records)) == expected


def test_what_lies_before_a_heartbeat_is_not_read() -> None:
    calls = [{"type": kind, "id": f"r{n}"} for n in range(5000) for kind in ("begin", "end")]
    log = Reads([*calls, {"type": "heartbeat", "open_from": 10_000}, {"type": "begin", "id": "x"}])
    start = first_to_read(log, 10_002)
    assert begun_and_not_ended(log, start, 10_002) == {"x": 10_001}
    assert len(log.read_indices) <= 256


def test_a_log_without_a_heartbeat_is_read_whole() -> None:
    log = Reads([{"type": "begin", "id": "a"}, {"type": "chunks", "of": []}])
    assert first_to_read(log, 2) == 0
    assert first_to_read(Reads([]), 0) == 0


def test_texts_that_look_like_records_are_none() -> None:
    forged = {"type": "admin", "act": '"type":"begin","id":"x"', "details": {"type": "begin"}}
    log = Reads([forged, {"type": "heartbeat", "open_from": "nonsense"}, {"type": "begin"}])
    assert first_to_read(log, 3) == 0
    assert begun_and_not_ended(log, 0, 3) == {}


def test_the_oldest_call_says_how_far_back_to_read() -> None:
    calls = OpenCalls()
    assert calls.least_index(7) == 7
    calls.add("a", 3)
    calls.add("b", 5)
    assert (calls.least_index(7), len(calls)) == (3, 2)
    calls.remove("a")
    assert calls.least_index(7) == 5


def test_those_that_are_settled_are_forgotten_and_others_stay() -> None:
    calls = OpenCalls()
    calls.add("runs", 1)
    calls.add("given up", 2).state = "given_up"
    calls.add("owed", 3).end = lambda _index: b""
    calls.forget_settled()
    assert (len(calls), calls.get("runs") is not None) == (1, True)
