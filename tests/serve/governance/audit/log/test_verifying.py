"""Verification: whatever is changed in a log is found, and the first bad entry named."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.governance.audit.log import frames, verifying
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.publishing import Publisher
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog import tiles
from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.hashing import leaf_hash, root_of
from serve.governance.audit.tlog.keys import NoteSigner
from serve.governance.audit.tlog.tiles import ENTRIES, Tile
from tests.serve.governance.audit.log.logs import (
    KEYS,
    SIGNER,
    fill,
    open_log,
    opened,
    some,
    verified,
)

SIZE = 300
ENTRIES_HERE = some(SIZE)
LAST = Tile(ENTRIES, 1, SIZE - 256)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A log of two bundles, published in two steps, so that there are older partial tiles too."""
    folder = tmp_path_factory.mktemp("logs") / "log"
    asyncio.run(fill(folder, ENTRIES_HERE[:270]))
    asyncio.run(fill(folder, ENTRIES_HERE[270:]))
    assert verified(folder).is_ok
    return folder


@pytest.fixture
def folder(original, tmp_path) -> Path:
    shutil.copytree(original, tmp_path / "log")
    return tmp_path / "log"


def bundle_places(first: int, content: bytes) -> Iterator[int]:
    """The index of the entry that each byte of a bundle belongs to."""
    for index, entry in enumerate(tiles.entries_in(content), first):
        yield from [index] * (2 + len(entry))


def places(path: str, content: bytes) -> list[int | None]:
    """The index that is to be named for each byte of a file; None for what is the whole log's."""
    if path == "checkpoint":
        return [None] * len(content)
    if path.startswith("journal/"):
        scan = frames.scan(content)
        assert scan is not None
        found: list[int | None] = [scan.first_index] * frames.HEADER_BYTES
        for index, end in enumerate(scan.ends, scan.first_index):
            found += [index] * (end - len(found))
        return found
    tile = Tile.parse(path)
    if tile.level == ENTRIES:
        return list(bundle_places(tile.first_entry, content))
    return [(tile.index * 256 + at // 32) << 8 * tile.level for at in range(len(content))]


def files_of(folder: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    del found["lock"]
    return found


def test_every_flipped_bit_is_found_at_its_place(folder, is_proving):
    found = files_of(folder)
    assert len(found) == 9
    chance = random.Random(21)
    for path, content in found.items():
        expected = places(path, content)
        all_bits = range(len(content) * 8)
        for bit in all_bits if is_proving else chance.sample(all_bits, 6):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            (folder / path).write_bytes(damaged)
            bad = verified(folder).bad
            assert bad is not None, (path, bit)
            assert bad.index == expected[bit // 8], (path, bit, bad)
        (folder / path).write_bytes(content)
    assert verified(folder).is_ok


def test_every_missing_file_is_found(folder):
    for path, content in files_of(folder).items():
        (folder / path).unlink()
        bad = verified(folder).bad
        if path in ("tile/0/001.p/14", "tile/entries/001.p/14"):
            assert bad is None  # needed by no checkpoint that is there
        else:
            assert bad is not None, path
        (folder / path).write_bytes(content)


def rewrite_bundle(folder: Path, number: int, entries: list[bytes], *, with_tile: bool) -> None:
    """What an attacker does who can write files: entries, and if they are clever their hashes."""
    files = TileFiles(folder)
    width = min(256, SIZE - number * 256)
    files.path(Tile(ENTRIES, number, width)).write_bytes(tiles.bundle(entries))
    if with_tile:
        leaves = b"".join(leaf_hash(entry) for entry in entries)
        files.path(Tile(0, number, width)).write_bytes(leaves)


@pytest.mark.parametrize("with_tile", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_entries_that_are_changed_are_found_at_their_place(folder, number, with_tile):
    entries = ENTRIES_HERE[number * 256 : number * 256 + 256]
    at = 17
    changes = {
        "deleted": [*entries[:at], *entries[at + 1 :]],
        "doubled": [*entries[:at], entries[at - 1], *entries[at:]],
        "inserted": [*entries[:at], b"inserted", *entries[at:]],
        "inserted, the last one lost": [*entries[:at], b"inserted", *entries[at:-1]],
        "swapped": [*entries[:at], entries[at + 1], entries[at], *entries[at + 2 :]],
        "other": [*entries[:at], b"other", *entries[at + 1 :]],
    }
    for name, changed in changes.items():
        rewrite_bundle(folder, number, changed, with_tile=with_tile)
        bad = verified(folder).bad
        assert bad is not None, name
        is_too_long = with_tile and len(changed) > 256
        assert bad.index == (0 if is_too_long else 256 * number + at), (name, bad)
        assert str(bad).startswith(f"entry {bad.index}: ")


def test_of_entries_that_are_changed_with_their_hashes_the_tile_above_tells(folder):
    shutil.rmtree(folder / "journal")
    (folder / "lock").unlink()
    rewrite_bundle(folder, 0, [*ENTRIES_HERE[:17], b"other", *ENTRIES_HERE[18:256]], with_tile=True)
    assert str(verified(folder).bad) == (
        "entry 0: it and those behind it in tile/0/000 have another hash than is kept of them "
        "(tile/1/000.p/1)"
    )


def test_the_reason_says_which_of_the_two_was_changed(folder):
    rewrite_bundle(folder, 0, [b"other", *ENTRIES_HERE[1:256]], with_tile=False)
    assert verified(folder).bad == verifying.BadEntry(
        0, "tile/entries/000", "it is not what was logged"
    )
    rewrite_bundle(folder, 0, ENTRIES_HERE[:256], with_tile=True)
    path = folder / "tile/0/000"
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    assert str(verified(folder).bad) == ("entry 0: its hash in the tile was changed (tile/0/000)")


def test_a_history_that_is_written_anew_without_the_key(folder):
    """All tiles fit each other, and the journal fits too: only the signature does not."""
    other = [b"other", *ENTRIES_HERE[1:]]
    shutil.rmtree(folder / "tile")
    shutil.rmtree(folder / "journal")
    twin = folder.with_name("twin")
    asyncio.run(fill(twin, other))
    shutil.copytree(twin / "tile", folder / "tile")
    shutil.copytree(twin / "journal", folder / "journal")
    bad = verified(folder).bad
    assert bad is not None
    assert (bad.index, bad.place) == (None, "checkpoint")
    assert "another root than the checkpoint signs" in bad.reason


def test_a_log_that_is_cut_is_found(folder):
    """Back to an older state, but for the checkpoint that somebody kept."""
    note = (folder / "checkpoint").read_bytes()
    shutil.rmtree(folder)
    asyncio.run(fill(folder, ENTRIES_HERE[:280]))
    assert verified(folder).size == 280
    (folder / "checkpoint").write_bytes(note)
    bad = verified(folder).bad
    assert bad is not None
    assert bad.index == 256
    assert "tile/0/001.p/44 is missing" in bad.reason


def test_a_wrong_key_or_origin_is_no_verification(folder):
    other = NoteSigner.generate(SIGNER.name).verifier
    for result in (
        verifying.verify(folder, [other]),
        verifying.verify(folder, KEYS, origin="example.com/other"),
        verifying.verify(folder / "nothing", KEYS),
    ):
        assert result.size == 0
        assert result.bad is not None
        assert result.bad.place == "checkpoint"


def test_a_copy_without_a_journal_is_enough(folder):
    shutil.rmtree(folder / "journal")
    bad = verified(folder).bad
    assert bad is not None
    assert "journal" in bad.place
    (folder / "lock").unlink()
    assert verified(folder) == verifying.Verification(SIZE, SIZE)


async def test_entries_behind_the_checkpoint_are_counted(folder):
    log = open_log(folder)
    await log.append(some(5, SIZE))
    await log._journal.close()
    result = verified(folder)
    assert (result.bad, result.size, result.num_behind) == (None, SIZE, 5)
    os.close(log._lock)
    path = next((folder / "journal").iterdir())
    path.write_bytes(path.read_bytes() + b"torn")
    bad = verified(folder).bad
    assert bad is not None
    assert bad.index == SIZE + 5
    assert "4 bytes behind the last whole entry are torn" in bad.reason


async def test_a_log_that_is_being_written_verifies(tmp_path):
    async with opened(tmp_path, publish_every_s=0.001, segment_bytes=5000) as log:
        for at in range(0, 2000, 100):
            await log.append(some(100, at))
            result = await asyncio.to_thread(verified, tmp_path)
            assert result.bad is None
    assert verified(tmp_path).size == 2000


@pytest.mark.parametrize("num_more", [1, 10, 300])
def test_tiles_that_a_crash_left_before_their_checkpoint(folder, num_more, monkeypatch):
    """They fit the journal; without what the journal has behind the checkpoint they do not."""
    entries = some(num_more, SIZE)
    tree = Frontier()
    list(tree.append(map(leaf_hash, ENTRIES_HERE)))
    publisher = Publisher(TileFiles(folder), SIGNER.name, SIGNER, tree, ENTRIES_HERE[256:])
    monkeypatch.setattr(publisher, "sign", lambda tree: None)
    publisher.publish(entries)
    journal = next((folder / "journal").iterdir())
    scan = frames.scan(journal.read_bytes())
    assert scan is not None
    before = journal.read_bytes()
    bad = verified(folder).bad
    assert bad is not None
    assert "does not fit the log" in bad.reason
    assert bad.index == (256 if num_more == 300 and "tile/1" in bad.place else SIZE)
    journal.write_bytes(before + frames.frames(entries, SIZE, SIZE, scan.salt))
    assert verified(folder).bad is None
    asyncio.run(fill(folder, []))
    assert verified(folder).size == SIZE + num_more


def test_strange_files_are_named(folder):
    for name in ("tile/0/002", "tile/entries/002.p/7", "tile/5/000.p/1", "tile/notes.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 32)
        bad = verified(folder).bad
        assert bad is not None, name
        assert bad.place == name
        path.unlink()
    (folder / "tile/0/.001.new").write_bytes(b"half")
    assert verified(folder).is_ok


def test_pruned_bundles_may_be_gone_and_no_others(folder):
    reader = LogFolder(folder, KEYS)
    path = folder / "tile/entries/000"
    content = path.read_bytes()
    path.unlink()
    assert verified(folder).bad == verifying.BadEntry(0, "tile/entries/000", "its bundle is gone")
    path.write_bytes(content)
    assert reader.prune(256) == 256
    assert verified(folder).is_ok
    tile = folder / "tile/0/000"
    hashes = bytearray(tile.read_bytes())
    hashes[32 * 200] ^= 1
    tile.write_bytes(hashes)
    bad = verified(folder).bad
    assert bad is not None
    assert bad.index == 200
    assert bad.place == "journal"
    hashes[32 * 200] ^= 1
    tile.write_bytes(hashes)
    for name, content in files_of(folder).items():
        if name == "minimum-index":
            for bit in range(0, len(content) * 8, 5):
                damaged = bytearray(content)
                damaged[bit // 8] ^= 1 << bit % 8
                (folder / name).write_bytes(damaged)
                assert verified(folder).bad is not None, bit


def test_progress_is_told(folder):
    told = []
    assert verifying.verify(folder, KEYS, progress=lambda *so_far: told.append(so_far)).is_ok
    assert told[-1] == (SIZE, SIZE)
    assert told == sorted(told)


def test_deeper_trees_verify(tmp_path, is_proving):
    """Beyond 65,536 entries, where tiles of level 1 are full; written as the publisher would."""
    if not is_proving:
        pytest.skip("hashes 65,800 entries five times: make prove")
    files, tree = TileFiles(tmp_path), Frontier()
    publisher = Publisher(files, SIGNER.name, SIGNER, tree, [])
    publisher.publish([b"x"] * 65_800)
    assert root_of([leaf_hash(b"x")] * 65_800) == LogFolder(tmp_path, KEYS).checkpoint.root
    assert verified(tmp_path).num_verified == 65_800
    for name, at, index in (("tile/1/000", 5, 5 * 256), ("tile/2/000.p/1", 0, 0)):
        path = tmp_path / name
        content = bytearray(path.read_bytes())
        content[at * 32] ^= 1
        path.write_bytes(content)
        bad = verified(tmp_path).bad
        assert bad is not None
        assert (bad.index, bad.place) == (index, name)
        content[at * 32] ^= 1
        path.write_bytes(content)
