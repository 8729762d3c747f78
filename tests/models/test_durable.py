from __future__ import annotations

import errno
import fcntl
import os

import pytest

from models import durable
from models.durable import write_whole
from models.staging import staged


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, b"one")
    (tmp_path / ".a.json.new").write_text("left by a crash")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "target").write_text("precious")
    (tmp_path / ".a.json.new").symlink_to("target")
    (tmp_path / "a.json").symlink_to("target")
    write_whole(tmp_path / "a.json", b"x")
    assert (tmp_path / "target").read_text() == "precious"
    assert not (tmp_path / "a.json").is_symlink()


def test_an_older_file_survives_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_whole(path, b"one")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.durable.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


NOT_OFFERED = [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS]
FAILED = [errno.EIO, errno.ENOSPC, errno.EDQUOT]


def failing(code):
    def call(*_):
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", NOT_OFFERED)
def test_what_a_file_system_does_not_offer_is_passed_over(tmp_path, monkeypatch, code):
    """CIFS, FUSE, drvfs: the write itself was fine."""
    for name in ("fsync", "posix_fallocate"):
        monkeypatch.setattr(os, name, failing(code))
    monkeypatch.setattr(fcntl, "flock", failing(code))
    durable.write_whole(tmp_path / "a.json", b"one")
    assert (tmp_path / "a.json").read_bytes() == b"one"
    with (tmp_path / "large").open("wb") as file:
        durable.allocate(file.fileno(), 5000)
        durable.lock(file.fileno(), wait=False)
    assert (tmp_path / "large").stat().st_size == 5000
    with staged(tmp_path, "model") as staging:
        (staging.tree / "config.json").write_text("{}")
        staging.commit()
    assert (tmp_path / "model" / "config.json").is_file()


@pytest.mark.parametrize("code", FAILED)
def test_what_failed_is_an_error(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(OSError, match=os.strerror(code)):
        durable.sync_folder(tmp_path)
    monkeypatch.setattr(os, "posix_fallocate", failing(code))
    with (tmp_path / "large").open("wb") as file, pytest.raises(OSError, match=os.strerror(code)):
        durable.allocate(file.fileno(), 5000)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EBADF, errno.ENOTSUP])
def test_a_file_system_without_locks_holds_nobody_off(tmp_path, monkeypatch, code):
    monkeypatch.setattr(fcntl, "flock", failing(code))
    with (tmp_path / "lock").open("wb") as file:
        durable.lock(file.fileno())


def test_a_lock_that_another_holds_is_told(tmp_path):
    with (tmp_path / "lock").open("wb") as one, (tmp_path / "lock").open("wb") as other:
        durable.lock(one.fileno())
        with pytest.raises(BlockingIOError):
            durable.lock(other.fileno(), wait=False)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_a_folder_that_may_not_be_read_is_passed_over(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "open", failing(code))
    durable.sync_folder(tmp_path)
