"""The calls of a log: one begin and one end each, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from serve.governance.audit.reading import calls
from serve.governance.audit.reading.calls import Calls, checked
from serve.governance.audit.reading.joined import joined
from serve.governance.audit.records.canonical import encoded
from tests.serve.governance.audit.reading.test_joined import Listed


def begin(name: str) -> bytes:
    return encoded({"type": "begin", "id": name})


def end(name: str, at: int | str | None) -> bytes:
    return encoded({"type": "end", "id": name, "begin": at})


def looked_at(entries: Sequence[bytes], *, first: int = 0) -> Calls:
    return checked(joined(Listed(list(entries)), first, len(entries)), first=first)


def test_calls_that_ended_leave_nothing():
    found = looked_at([begin("a"), begin("b"), end("b", 1), end("a", 0)])
    assert (found.num_begins, found.num_ends) == (2, 2)
    assert (found.open, found.faults, found.num_foreign) == ({}, [], 0)


def test_a_call_without_an_end_is_open():
    found = looked_at([begin("a"), encoded({"type": "heartbeat"}), begin("b"), end("a", 0)])
    assert found.open == {2: "b"}
    assert found.num_faults == 0


@pytest.mark.parametrize(
    ("last", "what"),
    [
        (end("a", 0), "a second end of the call that began at 0"),
        (end("b", 1), "an end whose begin is not at 1"),
        (end("b", 99), "an end whose begin is not at 99"),
        (end("b", None), "an end that names no begin"),
        (end("b", "0"), "an end that names no begin"),
    ],
)
def test_an_end_that_does_not_fit_is_told(last, what):
    found = looked_at([begin("a"), end("a", 0), last])
    assert [(fault.index, fault.what) for fault in found.faults] == [(2, what)]


def test_an_end_of_another_request_is_told():
    found = looked_at([begin("a"), end("b", 0)])
    assert found.faults[0].what == "an end of another request than the begin at 0"
    assert found.open == {}


def test_ends_of_calls_that_were_pruned_are_no_faults():
    entries = [begin("a"), begin("b"), end("a", 0), end("b", 1)]
    assert looked_at(entries, first=1).num_faults == 0
    assert looked_at(entries, first=2).num_faults == 0


def test_what_is_no_record_is_foreign():
    assert looked_at([b"no record", encoded({"type": 7})]).num_foreign == 2


def test_many_faults_are_counted_and_a_few_listed(monkeypatch):
    monkeypatch.setattr(calls, "MAX_FAULTS", 3)
    found = looked_at([end("a", None)] * 10)
    assert (found.num_faults, len(found.faults)) == (10, 3)
