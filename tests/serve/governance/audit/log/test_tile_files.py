"""Tile files: written whole, read from the full or the partial one, and bounded."""

from __future__ import annotations

import stat

import pytest

from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog.tiles import ENTRIES, Tile


def test_files_lie_where_the_specification_has_them(tmp_path):
    files = TileFiles(tmp_path)
    for tile in (Tile(0, 0), Tile(0, 1234067, 5), Tile(ENTRIES, 3, 2)):
        files.write(tile, b"content")
        assert files.content(tile) == b"content"
        assert stat.S_IMODE((tmp_path / tile.path).stat().st_mode) == 0o600
    files.sync_folders()
    assert (tmp_path / "tile/0/x001/x234/067.p/5").read_bytes() == b"content"
    (tmp_path / "tile/0/.001.new").write_bytes(b"half")
    assert sorted(path.as_posix() for path in files.found()) == [
        *("tile/0/000", "tile/0/x001/x234/067.p/5", "tile/entries/003.p/2"),
    ]
    files.remove_partials(Tile(0, 1234067))
    assert files.content(Tile(0, 1234067, 5)) is None
    files.remove(Tile(0, 0))
    files.remove(Tile(0, 0))
    assert files.content(Tile(0, 0)) is None


def test_hashes_are_those_of_the_size_that_is_asked_for(tmp_path):
    files = TileFiles(tmp_path)
    hashes = [bytes([number]) * 32 for number in range(256)]
    files.write(Tile(0, 0, 3), b"".join(hashes[:3]))
    assert files.hashes(0, 0, 3) == b"".join(hashes[:3])
    with pytest.raises(LogDamaged, match=r"tile/0/000\.p/4 is missing"):
        files.hashes(0, 0, 4)
    files.write(Tile(0, 0), b"".join(hashes))
    files.remove_partials(Tile(0, 0))
    assert files.hashes(0, 0, 3) == b"".join(hashes[:3])
    with pytest.raises(LogDamaged, match="tile/0/001 is missing") as found:
        files.hashes(0, 1, 600)
    assert found.value.index == 256


def test_a_file_has_a_bound(tmp_path):
    files = TileFiles(tmp_path)
    files.write(Tile(0, 1), bytes(8193))
    with pytest.raises(LogDamaged, match="8,193 bytes; at most 8,192") as found:
        files.content(Tile(0, 1))
    assert found.value.index == 256
