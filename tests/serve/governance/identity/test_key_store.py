"""A store of keys in a file. test_database_keys.py holds the other to the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.identity.key_changes import NewKey, made, revoked
from serve.governance.identity.key_store import FileKeys
from serve.governance.identity.pepper import Pepper


async def test_a_file_is_made_for_its_first_key_only(tmp_path: Path) -> None:
    pepper = Pepper(b"p" * 32)
    store = FileKeys(tmp_path / "keys.json", pepper)
    entry, _ = made(NewKey(), pepper)
    with pytest.raises(StartupError, match="is not there"):
        await store.read()
    with pytest.raises(StartupError, match="is not there"):
        await store.change(lambda keys: keys)
    await store.change(lambda keys: (*keys, entry), may_be_new=True)
    assert await store.read() == (entry,)
    await store.change(lambda keys: revoked(keys, entry.key_id))
    assert [key.state for key in await store.read()] == ["revoked"]


async def test_what_there_is_can_be_read_without_the_pepper_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    entry, _ = made(NewKey(), Pepper(b"p" * 32))
    await FileKeys(path, Pepper(b"p" * 32)).change(lambda keys: (entry,), may_be_new=True)
    store = FileKeys(path, None)
    assert await store.read() == (entry,)
    with pytest.raises(StartupError, match="--key-pepper-file"):
        await store.change(lambda keys: keys)
