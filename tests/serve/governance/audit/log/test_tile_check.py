"""Files that no checkpoint needs: older ones and those of a crash fit the log, others do not."""

from __future__ import annotations

import pytest

from serve.governance.audit.log import tile_check
from serve.governance.audit.log.bad_entry import BadEntryFound
from serve.governance.audit.log.publishing import Publisher
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.tiles import ENTRIES, Tile, bundle
from tests.serve.governance.audit.log.logs import SIGNER, some

SIZE = 300


@pytest.fixture
def files(tmp_path):
    found = TileFiles(tmp_path)
    Publisher(found, SIGNER.name, SIGNER, Frontier(), []).publish(some(SIZE))
    return found


def check(files, num_behind: int = 0) -> None:
    tree = Frontier()
    list(tree.append(map(leaf_hash, some(SIZE))))
    tile_check.check_others(files, set(), tree, some(num_behind, SIZE))


def hashes(entries) -> bytes:
    return b"".join(map(leaf_hash, entries))


def test_older_and_newer_files_fit(files):
    files.write(Tile(ENTRIES, 1, 10), bundle(some(10, 256)))
    files.write(Tile(0, 1, 10), hashes(some(10, 256)))
    check(files)
    files.write(Tile(ENTRIES, 1, 50), bundle(some(50, 256)))
    files.write(Tile(0, 1, 50), hashes(some(50, 256)))
    check(files, 6)


@pytest.mark.parametrize(
    ("tile", "content", "index"),
    [
        (Tile(ENTRIES, 1, 10), bundle([*some(9, 256), b"other"]), 265),
        (Tile(ENTRIES, 1, 10), bundle(some(9, 256)), 265),
        (Tile(ENTRIES, 1, 10), bundle(some(11, 256)), 266),
        (Tile(0, 1, 10), hashes([*some(3, 256), b"other", *some(6, 260)]), 259),
        (Tile(ENTRIES, 1, 50), bundle(some(50, 256)), 302),
        (Tile(0, 1, 50), hashes(some(50, 256)), 302),
        (Tile(0, 2, 1), hashes([b"x"]), 512),
        (Tile(1, 0, 2), hashes([b"x", b"y"]), 0),
    ],
)
def test_what_does_not_fit_is_named(files, tile, content, index):
    files.write(tile, content)
    with pytest.raises(BadEntryFound, match="does not fit the log") as found:
        check(files, 2)
    assert (found.value.bad.index, found.value.bad.place) == (index, tile.path)


def test_of_several_the_first_is_named(files):
    files.write(Tile(0, 1, 10), bytes(320))
    files.write(Tile(ENTRIES, 0, 3), b"")
    with pytest.raises(BadEntryFound) as found:
        check(files)
    assert found.value.bad.index == 0
