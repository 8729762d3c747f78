"""Folders and files that others may look into are refused, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engine.transformers.prefix_store import private_files


def test_a_folder_is_made_closed_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    private_files.make_private(folder)
    private_files.make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(OSError, match="closed to others"):
        private_files.make_private(tmp_path)


def test_a_link_is_no_folder_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="own folder"):
        private_files.make_private(tmp_path / "link")
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "file.kv").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="is a link"), private_files.opened(tmp_path / "file.kv"):
        pass


def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    path.chmod(0o600)
    with private_files.opened(path) as file:
        assert file.read() == b"abc"
    path.chmod(0o640)
    with pytest.raises(OSError, match="chmod 600"), private_files.opened(path):
        pass
