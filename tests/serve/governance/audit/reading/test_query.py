"""Which records a query is of: each part alone, and all of them together."""

from __future__ import annotations

from typing import Any

import pytest

from serve.governance.audit.reading.joined import Entry
from serve.governance.audit.reading.query import AuditQuery

BEGIN = {
    "who": {"key": "k1", "tenant": "research", "owner": "kim"},
    "model": {"name": "tiny"},
    "type": "begin",
}


def entry(**record: Any) -> Entry:
    plain = {"type": "end", "id": "r1", "at": "1970-01-01T00:00:10Z", "outcome": "done"}
    return Entry(index=0, raw=b"", record=plain | record, begin=BEGIN)


@pytest.mark.parametrize(
    "part",
    [
        {"key": "k1"},
        {"tenant": "research"},
        {"owner": "kim"},
        {"model": "tiny"},
        {"request_id": "r1"},
        {"outcome": "done"},
        {"kinds": frozenset({"end"})},
        {"first": 10.0},
        {"last": 10.5},
    ],
)
def test_a_part_holds_or_not(part):
    assert AuditQuery(**part).matches(entry())
    ((name, value),) = part.items()
    other: Any = "other"
    if name == "kinds":
        other = frozenset({"begin"})
    elif isinstance(value, float):
        other = 10.1 if name == "first" else 10.0
    assert not AuditQuery(**{name: other}).matches(entry())


def test_all_parts_have_to_hold():
    assert AuditQuery(tenant="research", outcome="done").matches(entry())
    assert not AuditQuery(tenant="research", outcome="error").matches(entry())


def test_nothing_asked_for_is_everything():
    assert AuditQuery().matches(Entry(index=0, raw=b"x", record={}))


def test_an_outcome_is_a_code_too():
    assert AuditQuery(outcome="queue_full").matches(entry(outcome="error", error="queue_full"))


def test_what_has_no_time_is_in_no_time():
    assert not AuditQuery(first=0.0).matches(entry(at="noon"))
    assert not AuditQuery(last=1e12).matches(entry(at=None))


def test_pieces_are_of_each_of_their_requests():
    pieces = entry(type="chunks", id=None, of=[["r1", 0], ["r2", 3]])
    assert AuditQuery(request_id="r2").matches(pieces)
    assert not AuditQuery(request_id="r3").matches(pieces)
