"""The witness's copy of leaf hashes: it takes only what leads to the cosigned root."""

from __future__ import annotations

import pytest

from serve.governance.audit.tlog.hashing import EMPTY_ROOT, root_of
from serve.governance.audit.witness.leaf_copy import CopyRefusedError, LeafCopy, Peaks
from tests.serve.governance.audit.witness.trees import tree

LEAVES = tree(40).leaves


def copy_of(folder, size: int) -> LeafCopy:
    return LeafCopy(folder, size=size, root=root_of(LEAVES[:size]))


def test_peaks_have_the_root_of_every_size():
    peaks = Peaks()
    assert peaks.root() == EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, 1):
        peaks.add(leaf)
        assert (peaks.size, peaks.root()) == (size, root_of(LEAVES[:size]))


def test_a_copy_grows_across_restarts(tmp_path):
    for old, new in [(0, 7), (7, 7), (7, 23), (23, 40)]:
        copy = copy_of(tmp_path, old)
        assert copy.is_whole
        copy.add(LEAVES[old:new], new, root_of(LEAVES[:new]))
    assert list(copy_of(tmp_path, 40).leaves()) == LEAVES
    assert copy_of(tmp_path, 40).is_what_was_cosigned()


def test_leaves_that_do_not_lead_to_the_root_leave_nothing_behind(tmp_path):
    copy_of(tmp_path, 0).add(LEAVES[:7], 7, root_of(LEAVES[:7]))
    for wrong in (LEAVES[8:16], LEAVES[7:14], [*LEAVES[7:14], b"x" * 32]):
        with pytest.raises(CopyRefusedError):
            copy_of(tmp_path, 7).add(wrong, 15, root_of(LEAVES[:15]))
    assert list(copy_of(tmp_path, 7).leaves()) == LEAVES[:7]


def test_what_was_written_and_never_cosigned_does_not_count(tmp_path):
    """A crash between the copy and the checkpoint leaves the copy ahead."""
    copy_of(tmp_path, 0).add(LEAVES[:7], 7, root_of(LEAVES[:7]))
    copy_of(tmp_path, 7).add(LEAVES[7:20], 20, root_of(LEAVES[:20]))
    copy_of(tmp_path, 7).add(LEAVES[7:12], 12, root_of(LEAVES[:12]))
    assert list(copy_of(tmp_path, 12).leaves()) == LEAVES[:12]


def test_a_copy_that_was_changed_says_so(tmp_path):
    copy_of(tmp_path, 0).add(LEAVES, 40, root_of(LEAVES))
    path = tmp_path / "leaves"
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    assert not copy_of(tmp_path, 40).is_what_was_cosigned()
    path.write_bytes(path.read_bytes()[:-32])
    assert not copy_of(tmp_path, 40).is_whole
