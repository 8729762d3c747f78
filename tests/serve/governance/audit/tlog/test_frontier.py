"""The frontier: roots and full tiles of a growing tree, and the same after it was restored."""

from __future__ import annotations

import pytest

from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.hashing import EMPTY_ROOT, leaf_hash, root_of
from serve.governance.audit.tlog.tiles import Tile
from tests.serve.governance.audit.tlog import naive


def test_every_size_has_the_root_of_the_definition():
    entries = naive.some_entries(520)
    tree = Frontier()
    assert tree.root() == EMPTY_ROOT
    for size, entry in enumerate(entries, 1):
        list(tree.append([leaf_hash(entry)]))
        if size < 40 or size > 250:
            leaves = [leaf_hash(entry) for entry in entries[:size]]
            assert tree.root() == root_of(leaves)
            assert tree.size == size


def test_full_tiles_come_once_each_lower_levels_first():
    leaves = [number.to_bytes(32) for number in range(256 * 256 + 5)]
    tree = Frontier()
    tiles = dict(tree.append(leaves))
    assert list(tiles)[-2:] == [Tile(0, 255), Tile(1, 0)]
    assert len(tiles) == 257
    assert tiles[Tile(0, 3)] == leaves[3 * 256 : 4 * 256]
    assert tiles[Tile(1, 0)] == [root_of(tiles[Tile(0, number)]) for number in range(256)]
    assert [len(tree.hashes(level)) for level in range(4)] == [5, 0, 1, 0]
    assert tree.root() == root_of([root_of(tiles[Tile(1, 0)]), root_of(leaves[-5:])])


def test_a_restored_tree_grows_as_the_one_it_was():
    leaves = [number.to_bytes(32) for number in range(1000)]
    for size in (0, 1, 255, 256, 257, 600):
        tree = Frontier()
        content = dict(tree.append(leaves[:size]))

        def read(level, index, content=content, tree=tree):
            return b"".join(content.get(Tile(level, index), tree.hashes(level)))

        twin = Frontier.restored(size, read)
        assert twin.root() == tree.root()
        grown = twin.copy()
        list(grown.append(leaves[size:]))
        list(tree.append(leaves[size:]))
        assert grown.root() == tree.root() == root_of(leaves)
        assert twin.size == size


def test_a_tile_that_is_too_short_is_named():
    with pytest.raises(ValueError, match=r"tile/0/000\.p/3 has 64 bytes, not 96"):
        Frontier.restored(3, lambda level, index: bytes(64))
