"""Records that nobody waits for: so many in a window, the others counted, none forgotten."""

from __future__ import annotations

from serve.governance.audit.records.canonical import Record, decoded
from serve.governance.audit.records.capped import MAX_WAITING, Capped
from serve.governance.audit.records.forms import Stamps


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Listener:
    num_lost = 0

    def audit_lost(self, kind: str) -> None:
        assert kind == "refused"
        self.num_lost += 1


def capped(most: int) -> tuple[Capped, Clock, Listener]:
    clock, listener = Clock(), Listener()
    return Capped("refused", Stamps(), most=most, listener=listener, clock=clock), clock, listener


def refused(error: str = "queue_full") -> Record:
    return Stamps().stamped("refused", error=error)


def taken(of: Capped) -> list[Record]:
    return [decoded(entry) for entry in of.take(10_000)]


def test_beyond_the_cap_they_are_counted_by_their_error() -> None:
    records, clock, _ = capped(3)
    for error in ["a", "a", "b", "b", "b", "c"]:
        records.add(refused(error))
    assert [record.get("error") for record in taken(records)] == ["a", "a", "b"]
    assert taken(records) == []
    clock.now = 10
    (count,) = taken(records)
    assert (count["count"], count["errors"], "lost" in count) == (3, {"b": 2, "c": 1}, False)
    records.add(refused("d"))
    assert len(taken(records)) == 1, "a new window"


def test_what_has_no_room_is_lost_and_counted() -> None:
    records, _, listener = capped(10_000)
    for _ in range(MAX_WAITING + 5):
        records.add(refused())
    assert (records.num_waiting, listener.num_lost) == (MAX_WAITING, 5)
    entries = records.take(2)
    records.put_back(entries)
    assert records.take(2) == entries, "in their order"
    count = taken(records)[-1]
    assert (count["count"], count["lost"]) == (5, True)


def test_the_end_of_a_server_ends_the_window() -> None:
    records, _, _ = capped(1)
    for _ in range(3):
        records.add(refused())
    records.finish()
    assert [record.get("count") for record in taken(records)] == [None, 2]
