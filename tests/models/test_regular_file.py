"""Files that someone names: only regular ones, only so large, and never a wait."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from models import regular_file


def test_a_file_is_read_through_links(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("é")
    (tmp_path / "link").symlink_to("real")
    assert regular_file.read(tmp_path / "link", max_bytes=2) == "é".encode()
    assert regular_file.read_text(tmp_path / "link", max_bytes=2) == "é"


def test_what_is_no_regular_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path, kind in (
            (tmp_path / "pipe", "a pipe"),
            (tmp_path / "folder", "a folder"),
            (Path("/dev/zero"), "a device"),
        ):
            with pytest.raises(OSError, match=f"it is {kind}, and a regular file is needed"):
                regular_file.read(path, max_bytes=10)
        with pytest.raises(OSError, match="socket"):
            regular_file.read(tmp_path / "socket", max_bytes=10)


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match=r"1,099,511,627,776 bytes or more, and at most 9 are read"):
        regular_file.read(tmp_path / "sparse", max_bytes=9)
    with pytest.raises(OSError, match="at most 3 are read"):  # states no size
        regular_file.read(Path("/proc/self/status"), max_bytes=3)


def test_a_shells_pipe_will_do_where_it_may_and_one_without_a_writer_is_empty(
    tmp_path: Path,
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"secret")
    os.close(writing)
    pipe = Path(f"/dev/fd/{reading}")
    assert regular_file.read(pipe, max_bytes=9, may_be_pipe=True) == b"secret"
    os.close(reading)
    os.mkfifo(tmp_path / "pipe")
    assert regular_file.read(tmp_path / "pipe", max_bytes=9, may_be_pipe=True) == b""
