from __future__ import annotations

import hashlib
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UnstableFileError
from models.trust import hashing
from models.trust.hashing import CHUNK_BYTES, hash_files, sha256_files


@given(st.lists(st.binary(max_size=5000), max_size=12))
def test_equals_hashlib_in_the_order_given(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert sha256_files(paths) == [hashlib.sha256(content).hexdigest() for content in contents]


def test_counts_every_byte_of_files_longer_than_a_read(tmp_path):
    sizes = [CHUNK_BYTES * 3 + 1, CHUNK_BYTES, 0, 17]
    for number, size in enumerate(sizes):
        (tmp_path / str(number)).write_bytes(os.urandom(size))
    seen = []
    found = hash_files([tmp_path / str(number) for number in range(4)], seen.append)
    assert sum(seen) == sum(sizes)
    assert [item.size for item in found] == sizes
    assert [item.stat.st_size for item in found] == sizes


def test_large_files_do_not_wait_for_each_other(tmp_path, monkeypatch):
    """Two files are being read at the same moment, or the barrier would break."""
    monkeypatch.setattr(hashing.os, "sched_getaffinity", lambda pid: {0, 1})
    together = threading.Barrier(2, timeout=30)
    opened = hashing._opened

    def meet(path):
        together.wait()
        return opened(path)

    monkeypatch.setattr(hashing, "_opened", meet)
    for name in "ab":
        (tmp_path / name).write_bytes(bytes(100))
    assert len(sha256_files([tmp_path / "a", tmp_path / "b"])) == 2


def test_the_first_error_stops_the_others(tmp_path):
    (tmp_path / "large").write_bytes(bytes(20 * CHUNK_BYTES))
    seen = []

    def fail(num_bytes):
        seen.append(num_bytes)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sha256_files([tmp_path / "large", tmp_path / "large"], fail)
    assert len(seen) == 2  # the other thread ends at its next read


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "there").touch()
    with pytest.raises(FileNotFoundError) as caught:
        sha256_files([tmp_path / "there", tmp_path / "gone"])
    assert caught.value.filename == str(tmp_path / "gone")


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_plain_file_is_refused_and_named(tmp_path, kind):
    """A FIFO without a writer would hang a plain open()."""
    path = tmp_path / kind
    if kind == "link":
        (tmp_path / "x").touch()
        path.symlink_to("x")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match=kind):
        sha256_files([path])


def test_a_file_that_grows_meanwhile_is_found(tmp_path):
    path = tmp_path / "grows"
    path.write_bytes(bytes(CHUNK_BYTES))

    def grow(_num_bytes):
        if path.stat().st_size == CHUNK_BYTES:
            with path.open("ab") as file:
                file.write(b"more")

    with pytest.raises(UnstableFileError, match="grows was written to"):
        sha256_files([path], grow)
