"""Restoring: the tree of the checkpoint, and the entries that it takes to go on."""

from __future__ import annotations

from serve.governance.audit.log.restoring import entries_behind, signed_tree
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.hashing import leaf_hash
from tests.serve.governance.audit.log.logs import KEYS, SIGNER, fill, some
from tests.serve.governance.audit.tlog import naive


async def test_a_log_goes_on_from_its_checkpoint(tmp_path):
    files = TileFiles(tmp_path)
    assert signed_tree(files, KEYS, SIGNER.name) is None
    await fill(tmp_path, some(300))
    tree = signed_tree(files, KEYS, SIGNER.name)
    assert tree is not None
    assert (tree.size, tree.root()) == (300, naive.tree_hash(some(300)))
    assert entries_behind(tmp_path / "journal", tree) == (some(44, 256), [])


async def test_what_no_checkpoint_covers_is_still_to_be_published(tmp_path):
    await fill(tmp_path, some(300))
    older = Frontier()
    list(older.append(map(leaf_hash, some(270))))
    assert entries_behind(tmp_path / "journal", older) == (some(14, 256), some(30, 270))
    assert entries_behind(tmp_path / "nothing", Frontier()) == ([], [])
