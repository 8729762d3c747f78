"""Tiles: paths, widths, bundles and the hashes of subtrees."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.governance.audit.tlog import tiles
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.tiles import ENTRIES, Tile
from tests.serve.governance.audit.tlog import naive


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(3, 999, 255), "tile/3/999.p/255"),
        (Tile(1, 1000, 1), "tile/1/x001/000.p/1"),
        (Tile(ENTRIES, 273, 112), "tile/entries/273.p/112"),
        (Tile(63, 5), "tile/63/005"),
    ],
)
def test_a_path_and_its_tile(tile, path):
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/0", "tile/0/1234", "tile/00/000", "tile/64/000", "tile/0/x000/001"),
        *("tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000/", "tile/-1/000"),
        *("tile/entries/001/x002", "tile/data/000", "tile/0/.000.new", "tile/0/000.p/"),
        "tile/0/000\n",
    ],
)
def test_no_other_spelling_names_a_tile(path):
    with pytest.raises(ValueError, match="is not the path of a tile"):
        Tile.parse(path)


@given(st.integers(0, 7), st.integers(0, 2**50), st.integers(1, 256))
def test_every_tile_has_one_path(level, index, width):
    tile = Tile(level, index, width)
    assert Tile.parse(tile.path) == tile


def test_the_partial_tiles_of_a_tree():
    assert tiles.partial_tiles(0) == []
    assert tiles.partial_tiles(256) == [Tile(1, 0, 1)]
    # The example of the specification.
    assert tiles.partial_tiles(70_000) == [
        *(Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1), Tile(ENTRIES, 273, 112)),
    ]


@given(st.lists(st.binary(max_size=9), max_size=12))
def test_a_bundle_gives_its_entries_back(entries):
    content = tiles.bundle(entries)
    assert list(tiles.entries_in(content)) == entries
    for end in range(len(content)):
        found = []
        with contextlib.suppress(ValueError):
            found.extend(tiles.entries_in(content[:end]))
        assert found == entries[: len(found)]
        assert len(found) < len(entries)


def test_the_longest_entry_fits_and_no_longer_one():
    longest = b"x" * 65_535
    assert list(tiles.entries_in(tiles.bundle([longest]))) == [longest]
    with pytest.raises(ValueError, match="65,536 bytes; at most 65,535"):
        tiles.bundle([longest + b"x"])


def test_hashes_of_subtrees_come_from_tiles():
    entries = naive.some_entries(600)
    leaves = [leaf_hash(entry) for entry in entries]
    content = {
        (0, number): b"".join(leaves[number * 256 : number * 256 + 256]) for number in range(3)
    }
    content[1, 0] = b"".join(naive.tree_hash(entries[at : at + 256]) for at in (0, 256))

    def read(level, index):
        return content[level, index]

    for level in range(10):
        for index in range(600 >> level):
            expected = naive.tree_hash(entries[index << level : (index + 1) << level])
            assert tiles.subtree_hash(read, level, index) == expected
    with pytest.raises(ValueError, match="too short"):
        tiles.subtree_hash(read, 8, 2)
    content[0, 0] = content[0, 0][:-1]
    with pytest.raises(ValueError, match="tile/0/000 is too short"):
        tiles.subtree_hash(read, 7, 1)
