"""The log on the disk as records see it: read across tiles and journal, whoever opens it."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from serve.__main__ import main
from serve.cli.audit import run_audit
from serve.errors import StartupError
from serve.governance.audit.log.errors import LogInUse
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.records.durable_log import open_durable, signing_key
from serve.governance.audit.records.entry_log import LogAwayError
from serve.governance.audit.tlog.key_files import read_verifiers


async def test_entries_are_read_out_of_tiles_and_journal(tmp_path: Path) -> None:
    key = signing_key(tmp_path, "a", None)
    log = await open_durable(tmp_path / "a", key)
    entries = [b"%d" % number for number in range(700)]
    assert await log.append(entries) == 0
    assert log.read(0, 700) == entries
    await log.close()
    log = await open_durable(tmp_path / "a", key)
    assert (log.size, log.recovered) == (700, "")
    assert log.read(250, 260) == entries[250:260]
    assert log.read(690, 700) == entries[690:]
    await log.append([b"more"])
    assert log.read(698, 701) == [*entries[698:], b"more"]
    await log.close()
    with pytest.raises(LogAwayError):
        await log.append([b"after its end"])


async def test_a_key_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    key = signing_key(tmp_path, "a", None)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert signing_key(tmp_path, "a", None) == key
    assert signing_key(tmp_path, "a", tmp_path / "other") == tmp_path / "other"
    log = await open_durable(tmp_path / "a", key)
    await log.append([b"x"])
    await log.close()
    verifiers = read_verifiers(key.with_name("a.key.pub"))
    assert [entry for _, entry in LogFolder(tmp_path / "a", verifiers).entries()] == [b"x"]
    assert log.origin.startswith("intramural/a/")


async def test_a_log_is_read_after_its_key_was_changed(tmp_path: Path) -> None:
    key = signing_key(tmp_path, "a", None)
    log = await open_durable(tmp_path / "a", key)
    await log.append([b"x"])
    await log.close()
    assert main(["audit", "key", "rotate", str(key)]) == 0
    log = await open_durable(tmp_path / "a", key)
    assert log.read(0, 1) == [b"x"]
    await log.append([b"y"])
    assert log.read(0, 2) == [b"x", b"y"]
    await log.close()


async def test_one_key_signs_one_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = signing_key(tmp_path, "a", None)
    log = await open_durable(tmp_path / "a", key)
    with pytest.raises(StartupError, match="Give b a key of its own"):
        await open_durable(tmp_path / "b", key)
    assert not (tmp_path / "b").exists()
    await log.close()
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    log = await open_durable(tmp_path / "a", key)
    assert "another log has this one's name" in caplog.text
    await log.close()


async def test_two_writers_are_refused_and_a_torn_tail_is_told(tmp_path: Path) -> None:
    key = signing_key(tmp_path, "a", None)
    log = await open_durable(tmp_path / "a", key)
    with pytest.raises(LogInUse):
        await open_durable(tmp_path / "a", key)
    await log.append([b"x"])
    await log.close()
    (journal,) = (tmp_path / "a" / "journal").glob("*.journal")
    with journal.open("ab") as file:
        file.write(b"torn")
    log = await open_durable(tmp_path / "a", key)
    assert log.recovered == "4 bytes of a torn tail were set aside"
    await log.close()


async def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot be made"):
        signing_key(tmp_path / "file", "a", None)
    key = signing_key(tmp_path, "a", None)
    with pytest.raises(LogAwayError):
        await open_durable(tmp_path / "file" / "a", key)
    with pytest.raises(StartupError):
        await open_durable(tmp_path / "a", tmp_path / "none")


async def test_a_rotated_key_reads_what_the_one_before_signed(tmp_path: Path) -> None:
    key = signing_key(tmp_path, "a", None)
    log = await open_durable(tmp_path / "a", key)
    await log.append([b"x"])
    await log.close()
    assert run_audit(["key", "rotate", str(key)]) == 0
    log = await open_durable(tmp_path / "a", key)
    assert log.read(0, 1) == [b"x"]  # a start looks for open calls before it signs anything
    await log.append([b"y"])
    await log.close()
    verifiers = read_verifiers(key.with_name("a.key.pub"))
    assert [entry for _, entry in LogFolder(tmp_path / "a", verifiers).entries()] == [b"x", b"y"]
