"""Pruning: the minimum index is noted first, never falls, and is not believed when damaged."""

from __future__ import annotations

import pytest

from serve.governance.audit.log import pruning
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.pruning import minimum_index, prune
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog.tiles import ENTRIES, Tile


@pytest.fixture
def files(tmp_path):
    found = TileFiles(tmp_path)
    for number in range(4):
        found.write(Tile(ENTRIES, number), b"bundle")
        found.write(Tile(0, number), b"hashes")
    found.write(Tile(ENTRIES, 0, 7), b"left by a crash")
    found.write(Tile(ENTRIES, 4, 7), b"the last one")
    return found


def left(files) -> list[str]:
    return sorted(path.as_posix() for path in files.found() if "entries" in path.as_posix())


def test_bundles_before_an_index_go_and_hashes_stay(files):
    assert prune(files, 255, 1031) == 0
    assert prune(files, 700, 1031) == 512
    assert left(files) == ["tile/entries/002", "tile/entries/003", "tile/entries/004.p/7"]
    assert all(files.content(Tile(0, number)) for number in range(4))
    assert prune(files, 300, 1031) == 512
    assert prune(files, 1031, 1031) == minimum_index(files.folder) == 1024
    assert left(files) == ["tile/entries/004.p/7"]
    for index in (-1, 1032):
        with pytest.raises(ValueError, match="cannot be pruned: 1031 are under the checkpoint"):
            prune(files, index, 1031)


def test_what_a_crash_left_goes_with_the_next(files, monkeypatch):
    def crash(tile):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, "remove", crash)
        with pytest.raises(KeyboardInterrupt):
            prune(files, 512, 1031)
    assert minimum_index(files.folder) == 512
    assert len(left(files)) == 6
    prune(files, 0, 1031)
    assert len(left(files)) == 3


@pytest.mark.parametrize("text", ["", "512\n", "512\nabc\n", "0\n" + "0" * 64 + "\n"])
def test_a_damaged_minimum_is_no_minimum(files, text):
    (files.folder / pruning.NAME).write_text(text)
    with pytest.raises(LogDamaged, match="it does not say what was pruned"):
        minimum_index(files.folder)
