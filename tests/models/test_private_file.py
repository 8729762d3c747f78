"""Secrets that others may read, or that lie elsewhere, are refused with what to do."""

from __future__ import annotations

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
