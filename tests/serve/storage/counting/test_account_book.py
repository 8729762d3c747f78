"""A book: each of what is done in it sees what was done before, and no row is written twice."""

from __future__ import annotations

from serve.storage.counting.account_book import NAMELESS, Book, Held
from serve.storage.counting.account_rules import TOMBSTONE_MS, Level
from serve.storage.counting.steady_time import SteadyTime
from tests.contracts.counters import budget

NOW_MS = 1_000
TOMBSTONE = Held(NAMELESS, 0, NOW_MS + TOMBSTONE_MS, is_settled=True)


def book(**held: list[Held]) -> Book:
    reserved = {"budget": sum(row.amount for rows in held.values() for row in rows)}
    return Book(SteadyTime(NOW_MS), reserved=reserved, held=held)


def test_the_second_sees_the_first() -> None:
    found = book()
    assert found.reserve("a", [budget(60)], 10).refused is None
    assert found.reserve("b", [budget(60)], 10).refused == 0
    assert found.settle("a", [budget(40)])
    decision = found.reserve("b", [budget(60)], 10)
    assert (decision.refused, decision.balances[0].remaining) == (None, 0)
    assert found.new == {"a": [TOMBSTONE], "b": [Held("budget", 60, NOW_MS + 10)]}
    assert (found.gone, found.levels["budget"].whole) == (set(), 40)


def test_an_id_that_is_reserved_or_settled_is_not_reserved_again() -> None:
    found = book(runs=[Held("budget", 5, NOW_MS + 1)], ended=[TOMBSTONE])
    for known in ("runs", "ended"):
        decision = found.reserve(known, [budget(7)], 10)
        assert (decision.refused, decision.balances[0].reserved) == (None, 5)
    assert not found.settle("ended", [budget(7)])
    assert (found.new, found.gone, found.changed) == ({}, set(), {})


def test_rows_that_were_there_are_deleted_once() -> None:
    found = book(runs=[Held("budget", 5, NOW_MS + 1), Held("of none here", 5, NOW_MS + 1)])
    found.reserved["budget"] = 5
    found.held["late"] = [Held("budget", 9, NOW_MS)]
    assert found.reserve("late", [budget(1)], 10).balances[0].reserved == 6
    assert found.settle("late", [budget(2)])
    assert found.settle("runs", [budget(3)])
    assert found.balances([budget(0)])[0].reserved == 0
    assert (found.gone, found.levels) == ({"late", "runs"}, {"budget": Level(5, 0, NOW_MS)})
    assert found.new == {"late": [TOMBSTONE], "runs": [TOMBSTONE]}


def test_what_runs_and_claims_nothing_is_known() -> None:
    found = book()
    found.reserve("a", [], 10)
    assert found.new == {"a": [Held(NAMELESS, 0, NOW_MS + 10)]}
    assert found.settle("a", [])
    assert not found.settle("a", [])
