"""Upkeep: what is done beside the requests begins, goes on after a defect, and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from serve.governance.limits import upkeep
from serve.governance.limits.spool import Spool
from serve.governance.limits.upkeep import Upkeep
from serve.storage.database import Database
from serve.timeline import Usage
from tests.serve.api.house import until
from tests.serve.governance.limits.limited import limits


async def test_leases_are_extended_and_the_spool_is_sent(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "RETRY_EVERY_S", 0.001)
    monkeypatch.setattr(upkeep, "EXTEND_EVERY_S", 0.001)
    async with limits(database, tmp_path, "") as house:
        house.database.fails = True
        await house.run()
        extended: list[int] = []

        async def extend() -> None:
            extended.append(1)
            if len(extended) == 1:
                raise ZeroDivisionError

        monkeypatch.setattr(house.reservations.leases, "extend", extend)
        looked_after = Upkeep(house.reservations)
        await looked_after.start()
        await until(lambda: len(extended) > 2)
        assert house.spool.num_rows == 1
        house.database.fails = False
        await until(lambda: house.spool.is_empty)
        for task in looked_after._tasks:
            task.cancel()
        await asyncio.wait(looked_after._tasks)
        assert len(await house.rows()) == 1


async def test_what_a_database_that_hangs_has_not_taken_at_the_end_is_in_the_spool(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_work: Any) -> None:
        await asyncio.Event().wait()

    text = '[[limits]]\nname = "x"\nrequests_per_minute = 9\ntokens_per_day = 1000\n'
    async with limits(database, tmp_path, text, shares_database=True) as house:
        held, record = await house.reserve()
        record.timeline.usage = Usage(prompt_tokens=10, completion_tokens=5)
        monkeypatch.setattr(house.database, "write", hang)
        monkeypatch.setattr(upkeep, "CLOSE_S", 0.01)
        ending = asyncio.create_task(held.settle(record, has_run=True))
        await asyncio.sleep(0)
        await Upkeep(house.reservations).close()
        await ending
    after = Spool(tmp_path)
    assert [each.row.completion_tokens for each in after.oldest(9)] == [5]
    await after.close()
