from __future__ import annotations

import json
import threading

import pytest

from models.errors import LockFileError
from models.lockfile import FORMAT, LockFile, Pin

DIGEST = "sha256:" + "a" * 64
PIN = Pin(digest=DIGEST, repo="acme/tiny", revision="main", commit="b" * 40)


def test_pins_are_kept_by_name(tmp_path):
    lock = LockFile(tmp_path / "data")
    assert lock.read() == {}
    lock.put("x", PIN)
    lock.put("y", Pin(digest=DIGEST))
    assert lock.read() == {"x": PIN, "y": Pin(digest=DIGEST)}
    lock.put("x", None)
    assert lock.get("x") is None
    assert lock.get("y") == Pin(digest=DIGEST)
    lock.put("x", None)  # again: nothing to do


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        json.dumps({"format": "other", "models": {}}),
        json.dumps({"format": FORMAT, "models": []}),
        json.dumps({"format": FORMAT, "models": {"x": {"digest": DIGEST, "url": "u"}}}),
        json.dumps({"format": FORMAT, "models": {"x": {"digest": "sha256:1"}}}),
        json.dumps({"format": FORMAT, "models": {"x": {}}}),
        json.dumps({"format": FORMAT, "models": {"x": {"digest": DIGEST, "repo": 3}}}),
    ],
)
def test_a_damaged_file_says_so_and_is_not_overwritten(tmp_path, text):
    lock = LockFile(tmp_path)
    lock.path.write_text(text)
    with pytest.raises(LockFileError, match="damaged"):
        lock.read()
    with pytest.raises(LockFileError, match="damaged"):
        lock.put("x", PIN)
    assert lock.path.read_text() == text


def test_writers_do_not_lose_each_other_s_pins(tmp_path):
    threads = [
        threading.Thread(target=LockFile(tmp_path).put, args=(f"m{number}", PIN))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(LockFile(tmp_path).read()) == 8


def test_where_no_folder_can_be_there_are_no_pins(tmp_path):
    (tmp_path / "file").touch()
    lock = LockFile(tmp_path / "file" / "data")
    assert lock.read() == {}
    with pytest.raises(LockFileError, match="cannot be written: Not a directory"):
        lock.put("x", PIN)
