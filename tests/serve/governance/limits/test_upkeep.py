"""Upkeep: what is done beside the requests begins, goes on after a defect, and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serve.governance.limits import upkeep
from serve.governance.limits.upkeep import Upkeep
from serve.storage.database import Database
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
