"""Secrets that others may read, or that lie elsewhere, are refused with what to do."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from models import private_file


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    path.chmod(0o600)
    assert private_file.read(path, 10) == b"abc"
    path.chmod(mode)
    with pytest.raises(OSError, match="chmod 600"):
        private_file.read(path, 10)


def test_a_secret_may_be_a_link_within_its_folder_alone(tmp_path: Path) -> None:
    """A cluster mounts secrets as links to a folder beside them."""
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    for folder in (volume / "..data", outside):
        folder.mkdir(parents=True)
        (folder / "key").write_bytes(b"secret")
        (folder / "key").chmod(0o600)
    (volume / "key").symlink_to("..data/key")
    (volume / "other").symlink_to(outside / "key")
    assert private_file.read(volume / "key", 10) == b"secret"
    with pytest.raises(OSError, match="link out of its folder"):
        private_file.read(volume / "other", 10)


@pytest.mark.parametrize(
    ("owner", "mode", "user", "is_taken"),
    [
        (0, 0o440, 10001, True),  # a Secret's volume, with fsGroup
        (0, 0o400, 10001, True),
        (0, 0o640, 10001, True),
        (0, 0o460, 10001, False),
        (0, 0o444, 10001, False),
        (0, 0o450, 10001, False),
        (0, 0o440, 0, False),
        (10001, 0o440, 10001, False),
        (10002, 0o440, 10001, False),
    ],
)
def test_of_roots_files_a_group_may_read_and_no_more(owner, mode, user, is_taken) -> None:
    status = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, 10001, 10, 0, 0, 0))
    assert (mode & private_file.too_much(status, user) == 0) is is_taken


def test_text_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("\ufeffü".encode())
    path.chmod(0o600)
    assert private_file.read_as_text(path, 10) == "ü"
    path.write_bytes(b"a\n\xff")
    with pytest.raises(OSError, match=r"not UTF-8 text \(line 2\)"):
        private_file.read_as_text(path, 10)
