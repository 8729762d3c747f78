"""API keys as rows: each is a JSON text that only serve/governance reads.

A change gives every row that it touches a later ``changed_at_ms`` than any row had, so that count
and latest change tell whether anything is new without reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from serve.storage.clock import now_ms
from serve.storage.schema import api_keys

PAGE_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One key. ``entry`` is JSON; tenant and owner are in it, too."""

    key_id: str
    tenant: str
    owner: str
    entry: str


Rows = list[KeyRow]
KeysState = tuple[int, int]


def state_of_keys(connection: Connection) -> KeysState:
    """Number of keys and time of the last change: equal where nothing has changed."""
    count, latest = connection.execute(
        select(func.count(), func.coalesce(func.max(api_keys.c.changed_at_ms), 0))
    ).one()
    return int(count), int(latest)


def read_key_rows(connection: Connection) -> Rows:
    """All rows, in the order of their ids; in pages, as each answer of a server has 250 ms."""
    columns = (api_keys.c.key_id, api_keys.c.tenant, api_keys.c.owner, api_keys.c.entry)
    found: Rows = []
    query = select(*columns).order_by(api_keys.c.key_id).limit(PAGE_ROWS)
    while True:
        last = found[-1].key_id if found else ""
        page = connection.execute(query.where(api_keys.c.key_id > last)).all()
        found += [KeyRow(key_id=r[0], tenant=r[1], owner=r[2], entry=r[3]) for r in page]
        if len(page) < PAGE_ROWS:
            return found


def rows_unless(state: KeysState | None) -> Callable[[Connection], tuple[KeysState, Rows | None]]:
    """A work that reads the state, and all rows where it is another than this one."""

    def work(connection: Connection) -> tuple[KeysState, Rows | None]:
        found = state_of_keys(connection)
        return found, None if found == state else read_key_rows(connection)

    return work


def changed_rows(edit: Callable[[Rows], Rows]) -> Callable[[Connection], None]:
    """A work that changes all rows as ``edit`` does; its errors roll everything back."""

    def work(connection: Connection) -> None:
        rows = read_key_rows(connection)
        replace_key_rows(connection, rows, edit(rows))

    return work


def replace_key_rows(
    connection: Connection, before: Iterable[KeyRow], after: Sequence[KeyRow]
) -> None:
    """Write the difference between what was read in this transaction and what is wanted."""
    old = {row.key_id: row for row in before}
    changed_at_ms = max(now_ms(connection), state_of_keys(connection)[1] + 1)
    for row in after:
        values = {
            "tenant": row.tenant,
            "owner": row.owner,
            "entry": row.entry,
            "changed_at_ms": changed_at_ms,
        }
        if row.key_id not in old:
            connection.execute(insert(api_keys).values(key_id=row.key_id, **values))
        elif old[row.key_id] != row:
            connection.execute(
                update(api_keys).where(api_keys.c.key_id == row.key_id).values(**values)
            )
    for key_id in old.keys() - {row.key_id for row in after}:
        connection.execute(delete(api_keys).where(api_keys.c.key_id == key_id))
