"""Sums of the ledger on both databases: right to the token, a page at a time, nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from serve.storage import ledger_reports
from serve.storage.ledger_reports import MAX_GROUPS, Selection
from tests.serve.storage.ledgers import entry, filling

ALL = Selection(first_day="2026-11-01", last_day="2026-11-30")


def asking(selection: Selection, *dimensions: Any, limit: int = 100, after: Any = None):
    return lambda connection: ledger_reports.groups(
        connection, selection, dimensions, limit=limit, after=after
    )


async def test_groups_are_summed_and_in_order(database):
    await database.write(
        filling(
            entry(day="2026-11-29", model="b"),
            entry(day="2026-11-28", model="b", prompt_tokens=1),
            entry(day="2026-11-28", model="a"),
            entry(day="2026-11-28", model="a", cost_micros=1),
            entry(day="2026-10-31", model="a"),
        )
    )
    found, has_more = await database.read(asking(ALL, "day", "model"))
    assert not has_more
    assert [usage.group for usage in found] == [
        ("2026-11-28", "a"),
        ("2026-11-28", "b"),
        ("2026-11-29", "b"),
    ]
    first = found[0]
    assert (first.num_requests, first.prompt_tokens, first.cached_tokens) == (2, 20, 8)
    assert (first.completion_tokens, first.reasoning_tokens) == (10, 4)
    assert first.cost_micros == 1_500_002
    assert all(type(usage.cost_micros) is int for usage in found)


async def test_money_of_two_currencies_is_never_one_sum(database):
    rows = [entry(currency=currency) for currency in ("EUR", "EUR", "CNY", "")]
    await database.write(filling(*rows))
    found, _ = await database.read(asking(ALL, "key"))
    assert [(usage.currency, usage.num_requests) for usage in found] == [
        ("", 1),
        ("CNY", 1),
        ("EUR", 2),
    ]
    totals = await database.read(lambda c: ledger_reports.totals(c, ALL))
    assert sum(usage.num_requests for usage in totals) == 4


async def test_a_sum_may_exceed_32_bits(database):
    await database.write(filling(*(entry(cost_micros=2**52) for _ in range(3))))
    (usage,) = await database.read(lambda c: ledger_reports.totals(c, ALL))
    assert usage.cost_micros == 3 * 2**52


async def test_pages_have_each_group_once_whatever_is_entered_meanwhile(database):
    models = [f"model {number:03}" for number in range(0, 60, 2)] + ["", "Ä", "=x", "模型", "b-c"]
    await database.write(filling(*(entry(model=model) for model in models)))
    seen: list[str] = []
    after = None
    has_more = True
    while has_more:
        found, has_more = await database.read(asking(ALL, "model", limit=7, after=after))
        after = (*found[-1].group, found[-1].currency)
        seen += [usage.group[0] for usage in found]
        await database.write(filling(entry(model="model 000")))
    assert sorted(seen) == sorted(models)


@pytest.mark.parametrize(
    "wanted", [{"tenant": "ward"}, {"owner": "ann"}, {"key": "key-a"}, {"model": "demo"}]
)
async def test_a_selection_is_of_what_it_names(database, wanted):
    other = {"tenant": "lab", "owner": "bob", "key_id": "key-b", "model": "large"}
    await database.write(filling(entry(), entry(**other)))
    selection = Selection(first_day="2026-11-01", last_day="2026-11-30", **wanted)
    found, _ = await database.read(asking(selection, "tenant", "owner", "key", "model"))
    assert [usage.group for usage in found] == [("ward", "ann", "key-a", "demo")]


async def test_days_are_included_at_both_ends(database):
    days = [f"2026-11-{day:02}" for day in (9, 10, 11, 12)]
    await database.write(filling(*(entry(day=day) for day in days)))
    selection = Selection(first_day=days[1], last_day=days[2])
    found, _ = await database.read(asking(selection, "day"))
    assert [usage.group[0] for usage in found] == days[1:3]


async def test_a_key_is_only_whose_entries_it_has(database):
    await database.write(filling(entry(), entry(tenant="lab", owner="ann", key_id="key-b")))

    async def has(tenant: str, owner: str, key: str) -> bool:
        return await database.read(
            lambda c: ledger_reports.has_any(c, tenant=tenant, owner=owner, key=key)
        )

    assert await has("ward", "ann", "key-a")
    assert not await has("ward", "ann", "key-b")
    assert not await has("lab", "bob", "key-b")


@pytest.mark.parametrize("limit", [0, MAX_GROUPS + 1])
async def test_a_page_is_bounded(database, limit):
    with pytest.raises(ValueError, match="1 to 1000"):
        await database.read(asking(ALL, "day", limit=limit))
