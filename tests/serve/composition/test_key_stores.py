"""The store that the keys commands change."""

from __future__ import annotations

from pathlib import Path

from serve.composition.key_stores import opened_key_store
from serve.config import Config
from serve.governance.identity.key_changes import NewKey, made


async def test_a_file_or_the_database_of_the_settings(tmp_path: Path) -> None:
    config = Config(state_dir=tmp_path)
    entry, _ = made(NewKey(), None)
    for file in (tmp_path / "keys.json", None):
        async with opened_key_store(config, file, None) as store:
            await store.change(lambda keys: (*keys, entry), may_be_new=True)
        async with opened_key_store(config, file, None) as store:
            assert await store.read() == (entry,)
    assert (tmp_path / "keys.json").exists()
    assert (tmp_path / "intramural.db").exists()
