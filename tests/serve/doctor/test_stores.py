"""The stores as `doctor` sees them: away, old, full, forgetful, and well."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from serve.doctor import stores
from serve.governance.limits import spool as spools
from serve.storage.database import open_database
from serve.storage.places import FILE_NAME, SqliteFile
from serve.storage.probing import CacheState, DatabaseState
from tests.serve.doctor.machines import machine


def needing(folder: Path, **settings):
    """A machine whose server keeps a ledger."""
    return machine(folder, state_dir=folder / "state", usage_ledger=True, **settings)


def test_without_a_need_nothing_is_looked_at(tmp_path):
    plain = machine(tmp_path, state_dir=tmp_path / "state")
    found = [check(plain) for check in (stores.database, stores.space, stores.cache)]
    assert [finding.level for finding in found] == ["skipped"] * 3
    assert not (tmp_path / "state").exists()


def test_a_database_that_is_not_there_yet_is_fine(tmp_path):
    found = stores.database(needing(tmp_path))
    assert found.level == "ok"
    assert "the first start makes them" in found.summary


def test_a_database_that_is_well(tmp_path):
    async def make() -> None:
        place = SqliteFile(path=tmp_path / "state" / FILE_NAME)
        await (await open_database(place)).close()

    asyncio.run(make())
    found = stores.database(needing(tmp_path))
    assert found.level == "ok"
    assert "answers" in found.summary


def test_a_database_that_is_none(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE_NAME).write_bytes(b"not a database" * 100)
    found = stores.database(needing(tmp_path))
    assert found.level == "failure"
    assert "cannot be used" in found.summary


def test_a_database_that_is_away(tmp_path):
    url = tmp_path / "url"
    url.write_text("postgresql://me:s3cr3t@127.0.0.1:1/usage")
    url.chmod(0o600)
    found = stores.database(machine(tmp_path, database_url_file=url))
    assert found.level == "failure"
    assert "s3cr3t" not in found.summary + found.advice


def test_old_tables_are_a_warning(tmp_path, monkeypatch):
    state = DatabaseState(is_shared=False, revision="0001", newest="0002")
    monkeypatch.setattr(stores, "probe_database", lambda _place: state)
    found = stores.database(needing(tmp_path))
    assert found.level == "warning"
    assert "revision 0001, and this version works with 0002" in found.summary


@pytest.mark.parametrize(
    ("free", "level"), [(2 << 30, "ok"), (1 << 29, "warning"), (1 << 20, "failure")]
)
def test_room(tmp_path, monkeypatch, free, level):
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    assert stores.space(needing(tmp_path)).level == level


@pytest.mark.parametrize(
    ("state", "level", "told"),
    [
        (("valkey", (8, 0, 1), "noeviction", 1 << 20), "ok", "valkey 8.0.1, noeviction"),
        (("redis", (7, 0, 15), "allkeys-lru", 0), "ok", "redis 7.0.15"),
        (("redis", (7, 0, 15), "allkeys-lru", 1), "warning", "maxmemory-policy noeviction"),
        (("redis", (5, 0, 9), "noeviction", 0), "warning", "redis 6.2 or newer"),
    ],
)
def test_a_server_of_counters(tmp_path, monkeypatch, state, level, told):
    found = cached(tmp_path, monkeypatch, CacheState(**dict(zip(FIELDS, state, strict=True))))
    assert found.level == level
    assert told in f"{found.summary} {found.advice}"


FIELDS = ("product", "version", "policy", "max_bytes")


def cached(folder: Path, monkeypatch, state: CacheState):
    monkeypatch.setattr(stores, "probe_cache", lambda _server: state)
    url = folder / "cache"
    url.write_text("valkey://127.0.0.1:1/0")
    url.chmod(0o600)
    return stores.cache(machine(folder, cache_url_file=url, usage_ledger=True))


def test_a_server_of_counters_that_is_away(tmp_path):
    url = tmp_path / "cache"
    url.write_text("valkey://:s3cr3t@127.0.0.1:1/0")
    url.chmod(0o600)
    found = stores.cache(machine(tmp_path, cache_url_file=url, usage_ledger=True))
    assert found.level == "failure"
    assert "Each replica counts for itself" in found.summary
    assert "s3cr3t" not in found.summary + found.advice


def test_a_url_that_others_may_read(tmp_path):
    url = tmp_path / "cache"
    url.write_text("valkey://127.0.0.1:1/0")
    url.chmod(0o644)
    assert stores.cache(machine(tmp_path, cache_url_file=url, usage_ledger=True)).level == "failure"


@pytest.mark.parametrize(
    ("num_bytes", "level"), [(0, "ok"), (1000, "warning"), (spools.MAX_BYTES // 2 + 1, "failure")]
)
def test_usage_that_waits(tmp_path, num_bytes, level):
    path = tmp_path / "state" / spools.NAME.format(0)
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(num_bytes)
    assert stores.spool(needing(tmp_path)).level == level


def test_usage_that_no_ledger_takes(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / spools.REJECTED).write_text("{}")
    found = stores.spool(needing(tmp_path))
    assert found.level == "warning"
    assert "no ledger takes" in found.summary


def test_a_server_without_room_for_kept_answers():
    roomy, small, unbounded = (
        CacheState(product="redis", version=(7, 0), policy="noeviction", max_bytes=size)
        for size in (1 << 30, 1 << 29, 0)
    )
    kept = (1 << 28) + 1
    assert stores._judged("here", roomy, kept).level == "ok"
    assert stores._judged("here", unbounded, kept).level == "ok"
    found = stores._judged("here", small, kept)
    assert found.level == "warning"
    assert "--response-cache-bytes" in found.advice
