"""The flags of a query: days, moments, types of records, and what is wrong with them."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import pytest

from serve.cli.audit.queries import QUERY, add_query, query_of, time_of
from serve.errors import StartupError
from serve.governance.audit.reading.query import AuditQuery


def asked(*words: str) -> AuditQuery:
    parser = argparse.ArgumentParser()
    add_query(parser)
    return query_of(parser.parse_args(words))


def seconds(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "is_end", "expected"),
    [
        ("2026-11-01", False, seconds(2026, 11, 1)),
        ("2026-11-01", True, seconds(2026, 11, 2)),
        ("2026-12-31", True, seconds(2027, 1, 1)),
        ("2026-11-01T12:00", False, seconds(2026, 11, 1, 12)),
        ("2026-11-01T12:00", True, seconds(2026, 11, 1, 12)),
        ("2026-11-01T12:00+02:00", False, seconds(2026, 11, 1, 10)),
        ("2026-11-01T12:00:00Z", False, seconds(2026, 11, 1, 12)),
    ],
)
def test_a_day_or_a_moment_is_of_utc(text, is_end, expected):
    assert time_of(text, "--to", is_end=is_end) == expected


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-01T25:00", ""])
def test_what_is_no_time_is_told_with_its_flag(text):
    with pytest.raises(StartupError, match=r"^--from '.*' is no day \(2026-11-01\)"):
        time_of(text, "--from")


def test_no_flag_asks_for_everything():
    query = asked()
    parts = ("first", "last", "key", "tenant", "owner", "model", "request_id", "outcome")
    assert {getattr(query, part) for part in parts} == {None}
    assert query.kinds == frozenset()


def test_each_flag_is_a_part_of_the_query():
    words = "--key k --tenant t --owner o --model m --id r --outcome done --event end --event begin"
    query = asked(*words.split(), "--from", "2026-11-01", "--to", "2026-11-01")
    assert query == AuditQuery(
        first=seconds(2026, 11, 1),
        last=seconds(2026, 11, 2),
        kinds=frozenset({"begin", "end"}),
        key="k",
        tenant="t",
        owner="o",
        model="m",
        request_id="r",
        outcome="done",
    )


def test_the_names_are_those_of_the_flags():
    parser = argparse.ArgumentParser()
    add_query(parser)
    assert set(vars(parser.parse_args([]))) == set(QUERY)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from", "2026-11-02", "--to", "2026-11-01"], "swap them"),
        (["--from", "2026-11-01T12:00", "--to", "2026-11-01T12:00"], "swap them"),
        (["--event", "ends"], "--event ends. Did you mean end?"),
    ],
)
def test_a_query_that_nothing_can_match_is_refused(words, told):
    with pytest.raises(StartupError) as refused:
        asked(*words)
    assert told in str(refused.value)
