"""Keys of the database that replicas share: a row for each (serve/storage/key_rows.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from serve.errors import StartupError
from serve.governance.identity.key_changes import Keys
from serve.governance.identity.key_entry import StoredKey, peppered
from serve.governance.identity.key_json import entry_of, key_of
from serve.governance.identity.pepper import Pepper
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database
from serve.storage.key_rows import KeyRow, Rows, changed_rows, read_key_rows


class DatabaseKeys:
    """A KeyStore over the database."""

    def __init__(self, database: Database, pepper: Pepper | None) -> None:
        self._database = database
        self._pepper = pepper

    async def read(self) -> Keys:
        """All entries, whatever the pepper."""
        try:
            return _decoded(await self._database.read(read_key_rows))
        except StoreUnavailable as error:
            raise StartupError(f"The keys cannot be read: {error}.") from None

    async def change(
        self,
        edit: Callable[[Keys], Keys],
        *,
        may_be_new: bool = False,  # noqa: ARG002 - the protocol's: the table is always there
        keeps_hashes: bool = False,
    ) -> None:
        """Write the rows that are changed, in one transaction."""

        def edit_rows(rows: Rows) -> Rows:
            keys = _decoded(rows)
            return [
                row_of(key) for key in edit(keys if keeps_hashes else peppered(keys, self._pepper))
            ]

        try:
            await self._database.write(changed_rows(edit_rows))
        except StoreUnavailable as error:
            raise StartupError(
                f"Whether the keys were changed is not known ({error}): see `keys list --database`."
            ) from None


def row_of(key: StoredKey) -> KeyRow:
    """A key as a row of the database."""
    entry = json.dumps(entry_of(key), separators=(",", ":"), sort_keys=True)
    return KeyRow(key_id=key.key_id, tenant=key.tenant, owner=key.owner, entry=entry)


def keys_of(rows: Iterable[KeyRow]) -> tuple[Keys, list[str]]:
    """The keys in rows, oldest first, and the ids of rows that are none of ours."""
    found: list[StoredKey] = []
    bad: list[str] = []
    for row in rows:
        try:
            key = key_of(json.loads(row.entry))
            if (key.key_id, key.tenant, key.owner) != (row.key_id, row.tenant, row.owner):
                raise ValueError("its columns say other things")
            found.append(key)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            bad.append(row.key_id)
    return tuple(sorted(found, key=lambda key: (key.created_at, key.key_id))), bad


def _decoded(rows: Iterable[KeyRow]) -> Keys:
    keys, bad = keys_of(rows)
    if bad:
        raise StartupError(
            f"The key {bad[0]} in the database is no entry of ours, or of a newer version."
        )
    return keys
