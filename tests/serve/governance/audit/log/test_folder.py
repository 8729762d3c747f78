"""A log as a reader sees it: entries, proofs, pruned beginnings."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog import proof_text
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.keys import NoteSigner
from serve.governance.audit.tlog.proofs import is_consistent
from tests.serve.governance.audit.log.logs import (
    KEYS,
    SIGNER,
    entry,
    fill,
    opened,
    some,
    verified,
)
from tests.serve.governance.audit.tlog import naive

SIZE = 600


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs") / "log"
    asyncio.run(fill(folder, some(SIZE)))
    return LogFolder(folder, KEYS, origin=SIGNER.name)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 600), (255, 257), (256, 512), (599, 600), (10, 10), (512, 900), (600, 700)],
)
def test_entries_of_any_range(log, start, end):
    expected = list(enumerate(some(max(0, min(end, SIZE) - start), start), start))
    assert list(log.entries(start, end)) == expected


def test_single_entries(log):
    assert log.entry(300) == entry(300)
    with pytest.raises(ValueError, match="of 600 entries has no entry 600"):
        log.entry(600)


@pytest.mark.parametrize("index", [0, 255, 256, 511, 512, 599])
def test_every_entry_is_proven(log, index):
    proof = proof_text.Proof.parse(log.proof(index).content)
    assert list(proof.hashes) == naive.path(index, some(SIZE))
    found, _ = proof_text.verified(proof, leaf_hash(entry(index)), KEYS, origin=SIGNER.name)
    assert found == log.checkpoint


@pytest.mark.parametrize("old", [0, 1, 255, 256, 300, 512, 599, 600])
def test_it_is_consistent_with_itself_at_any_size(log, old):
    root = log.root_at(old)
    assert root == naive.tree_hash(some(old))
    assert is_consistent(old, root, SIZE, log.checkpoint.root, log.consistency(old))


def test_a_folder_that_is_no_log(tmp_path):
    with pytest.raises(LogDamaged, match="has no checkpoint"):
        LogFolder(tmp_path, KEYS)


def test_a_log_of_another_key_or_origin(log):
    with pytest.raises(LogDamaged, match="cannot be trusted"):
        LogFolder(log.path, [NoteSigner.generate(SIGNER.name).verifier])
    with pytest.raises(LogDamaged, match=r"not of 'example\.com/other'"):
        LogFolder(log.path, KEYS, origin="example.com/other")


async def test_a_reader_sees_the_log_grow(tmp_path):
    await fill(tmp_path, some(2))
    reader = LogFolder(tmp_path, KEYS)
    async with opened(tmp_path) as log:
        await log.append(some(2, 2))
        assert reader.reload().size == 2
        assert list(reader.journal_entries(2)) == [(2, entry(2)), (3, entry(3))]
        assert reader.verify().num_behind == 2
    assert reader.reload().size == 4


async def test_a_pruned_log_keeps_its_root_and_the_rest(tmp_path):
    await fill(tmp_path, some(SIZE))
    reader = LogFolder(tmp_path, KEYS)
    proof = reader.proof(3)
    assert reader.minimum_index == 0
    assert reader.prune(511) == 256
    assert reader.prune(0) == 256
    assert reader.minimum_index == 256
    assert not (tmp_path / "tile/entries/000").exists()
    assert next(reader.entries()) == (256, entry(256))
    with pytest.raises(ValueError, match="entries before 256 were pruned; 3 is one of them"):
        next(reader.entries(3))
    assert reader.proof(3) == proof
    result = verified(tmp_path)
    assert (result.bad, result.minimum_index, result.num_verified) == (None, 256, SIZE - 256)
    with pytest.raises(ValueError, match="entries before 601 cannot be pruned: 600 are"):
        reader.prune(601)
    await fill(tmp_path, some(200, SIZE))
    assert reader.reload().root == naive.tree_hash(some(800))
    assert verified(tmp_path).is_ok


def test_a_bundle_that_is_cut_is_named(log, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(log.path, folder)
    path = folder / "tile/entries/001"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(LogDamaged, match="entry 511 is damaged") as found:
        list(LogFolder(folder, KEYS).entries())
    assert found.value.index == 511
    path.unlink()
    with pytest.raises(LogDamaged, match="the bundle of entry 300 is missing"):
        list(LogFolder(folder, KEYS).entries(300))
