"""Records in a stream: ends with their begins, times, and a memory that is bounded."""

from __future__ import annotations

import pytest

from serve.governance.audit.reading import joined as module
from serve.governance.audit.reading.joined import Entry, first_since, joined, seconds_of
from serve.governance.audit.records.canonical import encoded


class Listed:
    """Entries in memory; counts those that are read."""

    def __init__(self, entries: list[bytes], least: int = 0) -> None:
        self._entries = entries
        self._least = least
        self.num_read = 0

    def entries(self, start: int = 0, end: int | None = None):
        if start < self._least:
            raise ValueError(f"entries before {self._least} were pruned")
        for index, entry in enumerate(self._entries[start:end], start):
            self.num_read += 1
            yield index, entry


def begin(name: str) -> bytes:
    return encoded({"type": "begin", "id": name, "who": {"tenant": name}})


def end(index: int) -> bytes:
    return encoded({"type": "end", "begin": index})


def tenants(log: Listed, start: int, stop: int) -> list[str | None]:
    return [entry.part("who", "tenant") for entry in joined(log, start, stop)]


def test_an_end_has_the_caller_of_its_begin_also_from_before_the_range():
    log = Listed([begin("a"), begin("b"), end(1), end(0), end(9), b"no record", end(5)])
    assert tenants(log, 0, 7) == ["a", "b", "b", "a", None, None, None]
    assert tenants(log, 2, 4) == ["b", "a"]


def test_an_end_whose_begin_was_pruned_has_none():
    log = Listed([begin("a"), begin("b"), end(0), end(1)], least=1)
    assert tenants(log, 1, 4) == ["b", None, "b"]


def test_begins_without_an_end_are_forgotten_and_read_again(monkeypatch):
    monkeypatch.setattr(module, "MAX_OPEN", 2)
    log = Listed([begin("a"), begin("b"), begin("c"), end(0), end(2)])
    assert tenants(log, 0, 5) == ["a", "b", "c", "a", "c"]
    assert log.num_read == 6


def test_a_time_is_found_in_few_reads():
    stamps = [f"2026-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z" for n in range(20_000)]
    log = Listed([encoded({"at": stamp}) for stamp in stamps])
    wanted = seconds_of(stamps[15_000])
    assert wanted is not None
    found = first_since(log, 0, 20_000, wanted)
    assert 15_000 - module.STEP - module.SLACK <= found <= 15_000
    assert log.num_read < 100
    assert first_since(log, 0, 20_000, wanted, slack=0) == 15_000
    assert first_since(log, 0, 20_000, 1e12, slack=0) == 20_000


def test_a_clock_that_was_set_back_hides_nothing():
    """From noon on it is nine again: what was at eleven lies before it all the same."""
    hours = [8, 9, 10, 11, 12, 9, 9, 9, 9, 9]
    stamps = [f"2026-01-01T{hour:02}:00:00Z" for hour in hours for _ in range(1000)]
    log = Listed([encoded({"at": stamp}) for stamp in stamps])
    eleven = seconds_of("2026-01-01T11:00:00Z")
    assert eleven is not None
    assert first_since(log, 0, len(stamps), eleven) <= 3000
    assert first_since(log, 0, len(stamps), eleven, slack=0) == 3000


@pytest.mark.parametrize("at", ["", "now", "2026-01-01", "2026-01-01T00:00:00"])
def test_a_time_without_a_zone_is_none(at):
    assert Entry(index=0, raw=b"", record={"at": at}).time_s is None
