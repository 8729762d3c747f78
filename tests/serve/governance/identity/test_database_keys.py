"""Keys in the database, on both of its engines."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from serve.errors import StartupError
from serve.governance.identity.database_keys import DatabaseKeys, keys_of, row_of
from serve.governance.identity.key_changes import NewKey, limited, made, revoked, rotated, without
from serve.governance.identity.key_entry import StoredKey
from serve.governance.identity.pepper import Pepper
from serve.storage.database import Database
from serve.storage.key_rows import KeyRow, changed_rows
from tests.serve.governance.stored_keys import NOON, stored_key

PEPPER = Pepper(b"p" * 32)


async def test_keys_are_made_changed_and_taken_out(database: Database) -> None:
    store = DatabaseKeys(database, PEPPER)
    (first, _), (second, key) = made(NewKey(name="a"), PEPPER), made(NewKey(owner="anna"), PEPPER)
    await store.change(lambda keys: (*keys, first))
    await store.change(lambda keys: (*keys, second))
    assert {entry.key_id for entry in await store.read()} == {first.key_id, second.key_id}
    await store.change(lambda keys: limited(keys, first.key_id, {"tokens_per_day": 5}))
    await store.change(lambda keys: revoked(keys, first.key_id))
    await store.change(lambda keys: rotated(keys, second.key_id, timedelta(hours=1), PEPPER)[0])
    found = {entry.key_id: entry for entry in await store.read()}
    assert found[first.key_id].limits == {"tokens_per_day": 5}
    assert found[first.key_id].disabled
    assert len(found[second.key_id].secrets) == 2
    await store.change(lambda keys: without(keys, key))
    assert [entry.key_id for entry in await store.read()] == [first.key_id]


async def test_writers_do_not_lose_each_others_keys(database: Database) -> None:
    store = DatabaseKeys(database, None)
    entries = [made(NewKey(), None)[0] for _ in range(8)]

    def adding(entry: StoredKey):
        return store.change(lambda keys: (*keys, entry))

    await asyncio.gather(*map(adding, entries))
    assert {key.key_id for key in await store.read()} == {entry.key_id for entry in entries}


async def test_an_edit_that_raises_changes_nothing(database: Database) -> None:
    store = DatabaseKeys(database, None)
    with pytest.raises(StartupError, match="No key has the id"):
        await store.change(lambda keys: revoked(keys, "nobody"))
    assert await store.read() == ()


async def test_another_pepper_changes_nothing(database: Database) -> None:
    await DatabaseKeys(database, PEPPER).change(lambda keys: (*keys, made(NewKey(), PEPPER)[0]))
    for other in (None, Pepper(b"q" * 32)):
        with pytest.raises(StartupError, match=PEPPER.pepper_id):
            await DatabaseKeys(database, other).change(lambda keys: keys)


async def test_a_row_of_another_hand_is_named(database: Database) -> None:
    bad = KeyRow(key_id="bad", tenant="t", owner="", entry="{}")
    await database.write(changed_rows(lambda rows: [*rows, bad]))
    with pytest.raises(StartupError, match="The key bad in the database is no entry of ours"):
        await DatabaseKeys(database, None).read()


def test_rows_of_ours_are_told_from_others() -> None:
    first, second = stored_key("x", key_id="b"), stored_key("x", key_id="a", created_at=NOON)
    rows = [row_of(first), row_of(second)]
    moved = KeyRow(key_id="c", tenant="other", owner="", entry=rows[0].entry)
    texts = [
        KeyRow(key_id="d", tenant="d", owner="", entry=text) for text in ("", "[]", "null", "5")
    ]
    keys, bad = keys_of([*rows, moved, *texts])
    assert [key.key_id for key in keys] == ["a", "b"]
    assert bad == ["c", "d", "d", "d", "d"]
