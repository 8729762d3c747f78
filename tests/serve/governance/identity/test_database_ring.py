"""The ring over the database: it follows, it outlasts a while without, and then it closes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve.errors import InvalidApiKey, KeyStoreUnavailable, StartupError
from serve.governance.identity import database_ring
from serve.governance.identity.database_keys import DatabaseKeys
from serve.governance.identity.database_ring import MAX_STALE_S, DatabaseKeyRing
from serve.governance.identity.key_changes import NewKey, made, revoked
from serve.governance.identity.pepper import Pepper
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database
from serve.storage.key_rows import KeyRow, changed_rows

SERVED = frozenset({"demo"})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Cut:
    """A database that can be cut off, and counts what it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_cut = False
        self.num_rows_read = 0

    async def read(self, work: Any) -> Any:
        if self.is_cut:
            raise StoreUnavailable("away")
        state, rows = await self._database.read(work)
        self.num_rows_read += len(rows or ())
        return state, rows


async def stored(database: Database, pepper: Pepper | None = None, **wish: Any) -> str:
    entry, key = made(NewKey(**wish), pepper)
    await DatabaseKeys(database, pepper).change(lambda keys: (*keys, entry))
    return key


async def test_it_follows_the_database(database: Database) -> None:
    first = await stored(database)
    ring = DatabaseKeyRing(database)
    with pytest.raises(KeyStoreUnavailable):
        ring.authenticate(first)  # not read yet: nobody can know
    await ring.refresh()
    assert ring.authenticate(first).key_id == first[3:15]
    second = await stored(database)
    await DatabaseKeys(database, None).change(lambda keys: revoked(keys, first[3:15]))
    await ring.refresh()
    assert ring.authenticate(second)
    with pytest.raises(InvalidApiKey, match="revoked"):
        ring.authenticate(first)
    assert len(ring) == len(ring.keys()) == 2
    assert ring.is_in_force


async def test_rows_are_read_only_where_something_changed(database: Database) -> None:
    await stored(database)
    cut = Cut(database)
    ring = DatabaseKeyRing(cut)  # type: ignore[arg-type]
    for _ in range(5):
        await ring.refresh()
    assert cut.num_rows_read == 1
    await stored(database)
    await ring.refresh()
    assert cut.num_rows_read == 3


async def test_known_keys_hold_for_a_while_and_then_nobody_gets_in(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    key = await stored(database)
    cut, clock = Cut(database), Clock()
    ring = DatabaseKeyRing(cut, clock=clock)  # type: ignore[arg-type]
    await ring.refresh()
    cut.is_cut = True
    for _ in range(3):
        clock.now += MAX_STALE_S / 3
        await ring.refresh()
    assert ring.authenticate(key)
    assert not ring.is_in_force
    with pytest.raises(InvalidApiKey):
        ring.authenticate("sk-" + "x" * 12 + "." + "y" * 43)  # never seen: closed at once
    clock.now += 0.1
    for shown in (key, "sk-" + "x" * 12 + "." + "y" * 43):
        with pytest.raises(KeyStoreUnavailable, match="60 s") as refused:
            ring.authenticate(shown)
    assert (refused.value.status, refused.value.code) == (503, "key_store_unavailable")
    with pytest.raises(KeyStoreUnavailable):
        ring.enabled(key[3:15])
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1, (
        "one line, not each second"
    )
    cut.is_cut = False
    await ring.refresh()
    assert ring.authenticate(key)


async def test_a_bad_row_keeps_out_its_own_key_alone(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    key = await stored(database, models=("demo", "elsewhere"))
    bad = KeyRow(key_id="bad", tenant="t", owner="", entry="{}")
    await database.write(changed_rows(lambda rows: [*rows, bad]))
    ring = DatabaseKeyRing(database, models=SERVED)
    await ring.refresh()
    assert ring.authenticate(key).models == {"demo", "elsewhere"}
    assert "API key bad in the database is no entry of ours" in caplog.text
    assert "names a model not served here: elsewhere" in caplog.text


async def test_another_pepper_is_told_at_the_start(database: Database) -> None:
    pepper = Pepper(b"p" * 32)
    key = await stored(database, pepper)
    with pytest.raises(StartupError, match="--key-pepper-file"):
        await DatabaseKeyRing(database).refresh()
    ring = DatabaseKeyRing(database, pepper=pepper)
    await ring.refresh()
    assert ring.authenticate(key)


async def test_it_runs_on_whatever_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_ring, "REFRESH_INTERVAL_S", 0.0)
    asked = asyncio.Event()
    failures = [StartupError("another pepper"), ValueError("a defect"), StoreUnavailable("away")]

    class Failing:
        async def read(self, _work: Any) -> Any:
            if failures:
                raise failures.pop(0)
            asked.set()
            return (0, 0), []

    ring = DatabaseKeyRing(Failing())  # type: ignore[arg-type]
    task = asyncio.create_task(ring.run())
    async with asyncio.timeout(10):
        await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
