"""The file of API keys: what it holds, who may read it, and that it is replaced whole."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.identity import key_file, keys
from serve.governance.identity.key_entry import StoredKey
from serve.governance.identity.key_file import (
    locked,
    read_entries,
    read_keys,
    signature_of,
    write_keys,
)
from serve.governance.identity.pepper import Pepper
from serve.governance.principal import ALL_SCOPES
from tests.serve.governance.stored_keys import NOON, stored_key, version_1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def stored(key_id: str = "abc", *, expires_at: datetime | None = None) -> StoredKey:
    return stored_key("open sesame", key_id=key_id, expires_at=expires_at)


def test_what_is_written_is_read(path: Path) -> None:
    written = (stored("one"), stored("two", expires_at=NOON))
    write_keys(path, written)
    assert read_keys(path) == written
    write_keys(path, ())
    assert read_keys(path) == ()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_keys(path, (stored(),))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StartupError, match=r"keys\.json cannot be used: No space left"):
        write_keys(path, ())
    assert read_keys(path) == (stored(),)
    assert list(path.parent.iterdir()) == [path]


def test_the_signature_changes_with_a_file_of_equal_size_and_time(path: Path) -> None:
    write_keys(path, (stored("aaa"),))
    before, times = signature_of(path), path.stat()
    write_keys(path, (stored("bbb"),))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert signature_of(path) != before


def test_one_writer_holds_off_the_others(path: Path) -> None:
    def lock() -> None:
        with (path.parent / "keys.json.lock").open() as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    with locked(path), pytest.raises(BlockingIOError):
        lock()
    lock()


def test_a_folder_that_is_missing_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "state" / "keys.json"
    with locked(file):
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777])
def test_a_file_that_others_may_use_is_refused_with_its_mode(path: Path, mode: int) -> None:
    keys.create(path)
    path.chmod(mode)
    with pytest.raises(StartupError, match=f"mode {mode:04o}.*chmod 600"):
        read_keys(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("mode", "is_taken"), [(0o440, True), (0o444, False), (0o460, False)])
def test_a_file_as_kubernetes_mounts_it_opens(mode: int, is_taken: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        keys.create(path)
        os.chown(path, 0, 10001)
        path.chmod(mode)
        path.parent.chmod(0o755)
        os.setegid(10001)
        os.seteuid(10001)
        try:
            with (
                contextlib.nullcontext() if is_taken else pytest.raises(StartupError, match="mode")
            ):
                assert len(read_keys(path)) == 1
        finally:
            os.seteuid(0)
            os.setegid(0)


BROKEN: dict[str, Callable[[dict[str, object]], object]] = {
    "no object": lambda document: [],
    "no version": lambda document: document.pop("version"),
    "another version": lambda document: document.update(version=3),
    "no keys": lambda document: document.pop("keys"),
    "keys of no list": lambda document: document.update(keys=5),
    "a short hash": lambda document: document["keys"][0]["secrets"][0].update(hash="00"),  # type: ignore[index]
    "a hash of no hex": lambda document: document["keys"][0]["secrets"][0].update(hash="zz" * 32),  # type: ignore[index]
    "a short salt": lambda document: document["keys"][0]["secrets"][0].update(salt="00"),  # type: ignore[index]
    "an id of no text": lambda document: document["keys"][0].update(id=5),  # type: ignore[index]
    "a time without zone": lambda document: document["keys"][0].update(  # type: ignore[index]
        created_at="2026-01-01T00:00:00"
    ),
    "a time that is none": lambda document: document["keys"][0].update(expires_at="soon"),  # type: ignore[index]
    "disabled by a word": lambda document: document["keys"][0].update(disabled="no"),  # type: ignore[index]
    "an id twice": lambda document: document["keys"].append(document["keys"][0]),  # type: ignore[attr-defined, index]
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_is_not_ours_is_refused(path: Path, how: str) -> None:
    keys.create(path)
    document = json.loads(path.read_text())
    changed = BROKEN[how](document)
    path.write_text(json.dumps([] if changed == [] else document))
    with pytest.raises(StartupError, match="API key file"):
        read_keys(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b'{"version": 1}', b"[" * 9999])
def test_damaged_files_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StartupError, match="API key file"):
        read_keys(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(StartupError, match="is not there"):
        read_keys(path)


def test_a_folder_in_its_place_is_refused_with_the_reason(path: Path) -> None:
    path.mkdir(mode=0o700)
    with pytest.raises(StartupError, match="it is not a plain file but a folder"):
        read_keys(path)


def test_what_is_no_regular_file_is_refused_and_never_waited_for(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(StartupError, match="it is not a plain file but a pipe"):
        read_keys(path)


def test_a_device_is_named_before_a_mode_that_is_not_to_be_changed(path: Path) -> None:
    path.symlink_to("/dev/zero")
    with pytest.raises(StartupError, match="not a plain file but a device") as refusal:
        read_keys(path)
    assert "chmod" not in str(refusal.value)


def test_a_link_is_written_through(path: Path) -> None:
    target = path.with_name("real.json")
    write_keys(target, (stored(),))
    path.symlink_to(target.name)
    write_keys(path, (stored(), stored("def")))
    assert path.is_symlink()
    assert len(read_keys(target)) == 2


@pytest.mark.parametrize("leads_to", ["keys.json", "nowhere/keys.json"])
def test_a_link_that_leads_nowhere_is_refused_and_kept(path: Path, leads_to: str) -> None:
    path.symlink_to(leads_to)
    with pytest.raises(StartupError, match=f"API key file {path} "):
        write_keys(path, (stored(),))
    assert path.is_symlink()


def test_a_huge_file_is_refused_unread(path: Path) -> None:
    path.touch(0o600)
    os.truncate(path, 1 << 40)
    with pytest.raises(StartupError, match="it has 1,099,511,627,776 bytes; at most"):
        read_keys(path)


def test_a_link_out_of_the_folder_is_refused_and_a_secrets_volume_is_not(path: Path) -> None:
    other = path.parent / "other" / "keys.json"
    other.parent.mkdir(mode=0o700)
    write_keys(other, (stored(),))
    path.symlink_to(other)
    assert len(read_keys(path)) == 1, "a volume's links lie within it"
    outside = other.parent / "link.json"
    write_keys(path.with_name("outside.json"), (stored(),))
    outside.symlink_to(path.with_name("outside.json"))
    with pytest.raises(StartupError, match="a link out of its folder"):
        read_keys(outside)


def test_what_a_killed_writer_left_is_removed_by_the_next(path: Path) -> None:
    left = path.with_name(f".{path.name}-abc123")
    left.write_text("half")
    other = path.with_name(".other.json-abc123")
    other.write_text("of another file")
    write_keys(path, (stored(),))
    assert not left.exists()
    assert other.exists()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_key_that_was_stored_is_shown_though_its_folder_cannot_be_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    key = keys.create(path)
    assert [entry.key_id for entry in read_keys(path)] == [key[3:15]]


def refusal_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StartupError) as refused:
        read_keys(path)
    return str(refused.value)


def test_what_is_wrong_is_said_in_words_and_not_in_pythons(path: Path) -> None:
    assert "is empty. Move it away, and make a new one with" in refusal_of(path, b" \n")
    assert "it is no JSON (Expecting" in refusal_of(path, b"{")
    assert "it lacks 'keys'" in refusal_of(path, b'{"version": 1}')
    assert "an object with a list of keys" in refusal_of(path, b"null")
    assert "an object with a list of keys" in refusal_of(path, b"[]")
    assert "an object with a list of keys" in refusal_of(path, b'{"version": 1, "keys": "sk-1"}')
    assert "it is not UTF-8 text (line 2)" in refusal_of(path, b"{\n\xff")


def test_an_editors_byte_order_mark_and_line_ends_are_passed_over(path: Path) -> None:
    write_keys(path, (stored(),))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_keys(path) == (stored(),)


def test_a_socket_is_called_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path.name)
    with pytest.raises(StartupError, match="it is not a plain file but a socket"):
        read_keys(path)


# Version 1, and the pepper


def test_a_file_of_version_1_is_read_and_is_of_version_2_after_a_change(path: Path) -> None:
    path.write_text(version_1("one", "two", secret="open sesame"))
    path.chmod(0o600)
    first, second = read_keys(path)
    assert (first.key_id, first.tenant, first.owner) == ("one", "one", "")
    assert first.scopes == ALL_SCOPES
    assert first.secrets[0].matches("open sesame", None)
    keys.revoke(path, "two")
    document = json.loads(path.read_text())
    assert document["version"] == 2
    again = read_keys(path)
    assert again[0] == first
    assert again[1] == dataclasses.replace(second, disabled=True)


def test_a_pepper_is_gained_without_the_secret_and_asked_for_from_then_on(path: Path) -> None:
    pepper = Pepper(b"p" * 32)
    path.write_text(version_1("one", secret="open sesame"))
    path.chmod(0o600)
    assert read_keys(path, pepper)[0].secrets[0].matches("open sesame", pepper)
    keys.change(path, lambda entries: entries, pepper)
    assert json.loads(path.read_text())["keys"][0]["pepper"] == pepper.pepper_id
    (key,) = read_keys(path, pepper)
    assert key.secrets[0].matches("open sesame", pepper)
    assert not key.secrets[0].matches("open sesame", None)
    with pytest.raises(StartupError, match=r"stored under a pepper.*--key-pepper-file"):
        read_keys(path)
    with pytest.raises(StartupError, match=r"under another pepper.*its id is"):
        read_keys(path, Pepper(b"q" * 32))
    assert len(read_entries(path)) == 1, "what there is can be seen without it"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scopes": ["infer", "root"]}, "no scope is called 'root'"),
        ({"limits": {"tokens_per_week": 5}}, "no limit is called 'tokens_per_week'"),
        ({"limits": {"tokens_per_day": 1.5}}, "tokens_per_day is 1.5"),
        ({"tenant": "a b"}, "a tenant is 1 to 64 of"),
        ({"models": "demo"}, "models is a list of texts"),
        ({"secrets": []}, "1 to 2 secrets"),
        ({"may": "all"}, "unknown field 'may'"),
    ],
)
def test_an_entry_that_says_what_there_is_not_is_refused(
    path: Path, change: dict[str, object], says: str
) -> None:
    write_keys(path, (stored(),))
    document = json.loads(path.read_text())
    document["keys"][0].update(change)
    path.write_text(json.dumps(document))
    with pytest.raises(StartupError, match=says):
        read_keys(path)


def test_a_file_too_large_to_be_read_again_is_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could revoke a key in it, and a server would keep those that it knows."""
    write_keys(path, (stored("one"),))
    monkeypatch.setattr(key_file, "MAX_FILE_BYTES", path.stat().st_size)
    write_keys(path, (stored("one"),))
    with pytest.raises(StartupError, match="nothing was changed"):
        write_keys(path, (stored("one"), stored("two")))
    assert [key.key_id for key in read_keys(path)] == ["one"]
