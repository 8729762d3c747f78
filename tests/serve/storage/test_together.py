"""Works of one kind: one call does all of a group, and one that fails is told alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from serve.storage.database import Database
from serve.storage.together import Together
from tests.serve.storage.works import inserting, names


class Doubling:
    """Enters and doubles numbers; 13 cannot be doubled."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, connection: Connection, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        for number in numbers:
            inserting(str(number), fails=number == 13)(connection)
        return [2 * number for number in numbers]


async def at_once(database: Database, do: Doubling, numbers: Sequence[int]) -> list[object]:
    """Results of works that come while another holds the thread up, so that they are a group."""
    is_taken = asyncio.Event()
    loop = asyncio.get_running_loop()
    gate = asyncio.Event()

    def holds_up(_: Connection) -> None:
        loop.call_soon_threadsafe(is_taken.set)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(5)

    first = asyncio.create_task(database.write(holds_up))
    await is_taken.wait()
    works = [asyncio.create_task(database.write(Together(do, number))) for number in numbers]
    works.append(asyncio.create_task(database.write(inserting("other"))))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    gate.set()
    await first
    return await asyncio.gather(*works, return_exceptions=True)


async def test_a_group_is_one_call(database: Database) -> None:
    do = Doubling()
    assert await at_once(database, do, [3, 1, 2]) == [6, 2, 4, "other"]
    assert do.calls == [[3, 1, 2]]
    assert await database.read(names) == {"3", "1", "2", "other"}


async def test_one_that_fails_is_told_alone(database: Database) -> None:
    do = Doubling()
    told = await at_once(database, do, [3, 13, 2])
    assert (told[0], str(told[1]), told[2:]) == (6, "13", [4, "other"])
    assert isinstance(told[1], ValueError)
    assert do.calls == [[3, 13, 2], [3], [13], [2]]
    assert await database.read(names) == {"3", "2", "other"}


async def test_one_alone_is_as_any_work(database: Database, tmp_path: Path) -> None:
    do = Doubling()
    assert await database.write(Together(do, 4)) == 8
    with pytest.raises(ValueError, match="13"):
        await database.write(Together(do, 13))
    assert do.calls == [[4], [13]]
