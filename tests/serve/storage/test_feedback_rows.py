"""Rows of feedback: on one's own answers alone, once an answer, listed and counted."""

from __future__ import annotations

from typing import Any

import pytest

from serve.storage import feedback_rows
from serve.storage.database import Database
from serve.storage.feedback_values import Asker, FailedCall, FeedbackFilter
from tests.serve.storage.ledgers import entry, filling

ANN = Asker(tenant="ward", owner="ann")
EVERYTHING = FeedbackFilter()


async def put(database: Database, request_id: str, asker: Asker = ANN, **more: Any) -> Any:
    given = {"key_id": "key-a", "score_milli": 500, "labels": "[]", "sealed_text": "", **more}
    return await database.write(
        lambda connection: feedback_rows.put(connection, asker, request_id=request_id, **given)
    )


async def all_rows(database: Database, chosen: FeedbackFilter = EVERYTHING) -> Any:
    rows, has_more = await database.read(lambda c: feedback_rows.page(c, chosen, limit=1000))
    assert not has_more
    return rows


async def test_a_second_one_replaces_the_first(database: Database) -> None:
    await database.write(filling(entry(request_id="r1", model="m", arm="blue")))
    row, is_first = await put(database, "r1", labels='["a"]')
    assert is_first
    assert (row.model, row.arm, row.tenant, row.owner) == ("m", "blue", "ward", "ann")
    again, is_first = await put(database, "r1", score_milli=-1000, sealed_text="x")
    assert not is_first
    assert again.created_at_ms == row.created_at_ms
    assert await all_rows(database) == [again]


@pytest.mark.parametrize(
    "asker",
    [
        Asker(tenant="lab", owner="ann"),
        Asker(tenant="ward", owner="bob"),
        Asker(tenant="ward", owner="ann", key_id="key-b"),
    ],
)
async def test_others_answers_are_not_there(database: Database, asker: Asker) -> None:
    await database.write(filling(entry(request_id="r1", key_id="key-a")))
    assert await put(database, "r1", asker) is None
    assert await put(database, "r2") is None
    await put(database, "r1")
    assert not await database.write(lambda c: feedback_rows.take_back(c, asker, "r1"))
    assert len(await all_rows(database)) == 1
    mine = Asker(tenant="ward", owner="ann", key_id="key-a")
    for _ in range(2):
        assert await database.write(lambda c: feedback_rows.take_back(c, mine, "r1"))
    assert await all_rows(database) == []


async def test_a_call_that_failed_has_no_answer(database: Database) -> None:
    outcomes = ("answer_rejected", "content_filter", "disconnected", "masking_failed")
    entries = [entry(request_id=f"r-{outcome}", outcome=outcome) for outcome in outcomes]
    await database.write(filling(*entries))
    found = [await put(database, f"r-{outcome}") for outcome in outcomes]
    assert [one for one in found if isinstance(one, FailedCall)] == [
        FailedCall("answer_rejected"),
        FailedCall("masking_failed"),
    ]
    assert len(await all_rows(database)) == 2
    others = Asker(tenant="lab", owner="ann")
    assert await put(database, "r-answer_rejected", others) is None


async def test_pages_and_counts(database: Database) -> None:
    told = [("m", "", 1000), ("m", "", -500), ("m", "blue", 0), ("n", "blue", 1), ("m", "", 250)]
    entries = [
        entry(request_id=f"r{at}", model=model, arm=arm) for at, (model, arm, _) in enumerate(told)
    ]
    await database.write(filling(*entries, entry(request_id="r9", owner="bob")))
    for at, (_, _, score) in enumerate(told):
        await put(database, f"r{at}", score_milli=score, sealed_text="x" if at else "")
    await put(database, "r9", Asker(tenant="ward", owner="bob"))

    found: list[str] = []
    after = None
    for size in (2, 2, 2):
        rows, has_more = await database.read(
            lambda c, after=after: feedback_rows.page(c, EVERYTHING, limit=2, after=after)
        )
        assert len(rows) == size
        found += [row.request_id for row in rows]
        after = (rows[-1].created_at_ms, rows[-1].request_id)
        assert has_more == (len(found) < 6)
    assert sorted(found) == [*(f"r{at}" for at in range(5)), "r9"]

    anns = FeedbackFilter(tenant="ward", owner="ann")
    counts = await database.report(lambda c: feedback_rows.counts(c, anns))
    assert [
        (one.model, one.arm, one.num_all, one.num_positive, one.num_negative) for one in counts
    ] == [
        ("m", "", 3, 2, 1),
        ("m", "blue", 1, 0, 0),
        ("n", "blue", 1, 1, 0),
    ]
    assert [(one.sum_milli, one.num_texts) for one in counts] == [(750, 2), (0, 1), (1, 1)]
    for chosen, number in (
        (FeedbackFilter(model="n"), 1),
        (FeedbackFilter(arm="blue"), 2),
        (FeedbackFilter(since_ms=2**50), 0),
        (FeedbackFilter(since_ms=0, until_ms=2**50), 6),
        (FeedbackFilter(tenant="lab"), 0),
    ):
        assert len(await all_rows(database, chosen)) == number
    forgotten = await database.write(lambda c: feedback_rows.forget(c, tenant="ward", owner="ann"))
    assert forgotten == 5
    assert [row.request_id for row in await all_rows(database)] == ["r9"]


async def test_a_page_has_a_bound(database: Database) -> None:
    for limit in (0, 1001):
        with pytest.raises(ValueError, match="1 to 1000 rows"):
            await database.read(
                lambda c, limit=limit: feedback_rows.page(c, EVERYTHING, limit=limit)
            )
