"""Rows of keys: what is written is the difference, and any change shows in the state."""

from __future__ import annotations

import pytest

from serve.storage import key_rows
from serve.storage.database import Database
from serve.storage.key_rows import (
    KeyRow,
    changed_rows,
    read_key_rows,
    replace_key_rows,
    rows_unless,
    state_of_keys,
)


def row(key_id: str, entry: str = "{}") -> KeyRow:
    return KeyRow(key_id=key_id, tenant="t", owner="", entry=entry)


async def test_every_change_changes_the_state(database: Database) -> None:
    states = [await database.read(state_of_keys)]
    for rows in (
        [row("a")],
        [row("a"), row("b")],
        [row("a", "1"), row("b")],
        [row("c"), row("b")],
        [],
    ):
        await database.write(changed_rows(lambda _before, rows=rows: rows))
        assert await database.read(read_key_rows) == sorted(rows, key=lambda r: r.key_id)
        states.append(await database.read(state_of_keys))
    assert len(set(states[:-1])) == len(states) - 1, "also within a millisecond"
    assert states[-1] == states[0] == (0, 0)


async def test_nothing_is_written_where_nothing_changed(database: Database) -> None:
    await database.write(changed_rows(lambda _: [row("a")]))
    before = await database.read(state_of_keys)
    await database.write(changed_rows(lambda rows: rows))
    assert await database.read(state_of_keys) == before


@pytest.mark.parametrize("number", [2, 3, 4])
async def test_rows_come_in_pages(
    database: Database, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(key_rows, "PAGE_ROWS", 2)
    rows = [row(name) for name in ("a1", "B1", "a2", "_")[:number]]
    await database.write(changed_rows(lambda _: rows))
    assert {each.key_id for each in await database.read(read_key_rows)} == {r.key_id for r in rows}


async def test_rows_come_where_the_state_is_another(database: Database) -> None:
    await database.write(lambda connection: replace_key_rows(connection, [], [row("a")]))
    state, rows = await database.read(rows_unless(None))
    assert rows == [row("a")]
    assert await database.read(rows_unless(state)) == (state, None)
