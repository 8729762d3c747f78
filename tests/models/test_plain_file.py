"""What is no file, has no end or grows is not read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from models import plain_file
from models.plain_file import MAX_HOLE_BYTES, TooLargeError, hole_fault, kind_of, read, read_text


def test_up_to_the_limit(tmp_path):
    (tmp_path / "x").write_bytes(b"1234")
    assert read(tmp_path / "x", 4) == b"1234"
    with pytest.raises(TooLargeError, match="has 4 bytes; at most 3") as caught:
        read(tmp_path / "x", 3)
    assert caught.value.size == 4


def pipe(path):
    os.mkfifo(path)


def bound(path):
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))


KINDS = [(pipe, "a pipe"), (bound, "a socket"), (os.mkdir, "a folder")]


@pytest.mark.parametrize(("put", "kind"), KINDS)
def test_what_is_no_plain_file_is_refused_at_once_and_named(tmp_path, monkeypatch, put, kind):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    put(Path("x"))
    with pytest.raises(OSError, match=f"is not a plain file but {kind}") as caught:
        read(tmp_path / "x", 4)
    assert caught.value.filename == str(tmp_path / "x")
    assert kind_of(tmp_path / "x") == kind


def test_a_link_is_refused_for_what_it_is(tmp_path):
    (tmp_path / "x").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="is a link, which could lead anywhere"):
        read(tmp_path / "x", 4)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        read(tmp_path / "loop", 4, may_be_link=True)


def test_a_pipe_that_another_holds_open_is_no_file_either(tmp_path):
    os.mkfifo(tmp_path / "x")
    held = os.open(tmp_path / "x", os.O_RDWR)
    with pytest.raises(OSError, match="a pipe"):
        read(tmp_path / "x", 4)
    os.close(held)


def test_a_file_that_cannot_be_read_is_named():
    with pytest.raises(OSError, match="Input/output error") as caught:
        read(Path("/proc/self/mem"), 4)
    assert caught.value.filename == "/proc/self/mem"


def test_a_text_has_no_byte_order_mark_and_is_utf_8(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\xef\xbb\xbfa\r\n")
    assert read_text(path, 9) == "a\r\n"
    path.write_bytes(b"a\nb\n\xff")
    with pytest.raises(OSError, match=r"is not UTF-8 text \(line 3\)") as caught:
        read_text(path, 9)
    assert caught.value.filename == str(path)


def test_a_file_and_nothing_are_of_no_other_kind(tmp_path):
    (tmp_path / "x").touch()
    assert kind_of(tmp_path / "x") is None
    assert kind_of(tmp_path / "absent") is None


def test_a_link_of_the_operator_leads_to_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "y").symlink_to("x")
    assert read(tmp_path / "y", 4, may_be_link=True) == b"1"
    (tmp_path / "z").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="not a plain file"):
        read(tmp_path / "z", 4, may_be_link=True)


def test_a_file_that_grew_past_the_limit(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(bytes(9))
    real = os.fstat

    def earlier(descriptor):
        seen = list(real(descriptor))
        seen[6] = 2
        return os.stat_result(seen)

    monkeypatch.setattr(plain_file.os, "fstat", earlier)
    with pytest.raises(TooLargeError):
        read(tmp_path / "x", 4)


def test_holes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"1")
    os.truncate(path, MAX_HOLE_BYTES)
    assert hole_fault(path) is None
    os.truncate(path, 1 << 40)
    assert "are not on the disk" in str(hole_fault(path))


def test_what_is_there_instead_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, kind in ((tmp_path / "folder", "a folder"), (Path("/dev/zero"), "a device")):
        with pytest.raises(OSError, match=f"is not a plain file but {kind}"):
            read(path, 10)


def test_a_shells_pipe_will_do_where_it_may_and_one_without_a_writer_is_empty(
    tmp_path: Path,
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"secret")
    os.close(writing)
    pipe = Path(f"/dev/fd/{reading}")
    assert read(pipe, 9, may_be_link=True, may_be_pipe=True) == b"secret"
    os.close(reading)
    os.mkfifo(tmp_path / "pipe")
    assert read(tmp_path / "pipe", 9, may_be_pipe=True) == b""


def test_a_file_that_states_no_size_is_bounded_too() -> None:
    with pytest.raises(OSError, match="at most 3 are read"):
        read(Path("/proc/self/status"), 3)
