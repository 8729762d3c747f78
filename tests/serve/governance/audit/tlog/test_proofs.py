"""Proofs of all small trees against RFC 6962's definitions; forged ones do not hold."""

from __future__ import annotations

import pytest

from serve.governance.audit.tlog import proofs
from serve.governance.audit.tlog.hashing import EMPTY_ROOT, leaf_hash
from tests.serve.governance.audit.tlog import naive

SIZE = 40
ENTRIES = naive.some_entries(SIZE)
ROOTS = [naive.tree_hash(ENTRIES[:size]) for size in range(SIZE + 1)]


def read(level, index):
    return naive.tree_hash(ENTRIES[index << level : (index + 1) << level])


def test_the_root_at_every_size():
    assert [proofs.root_at(size, read) for size in range(SIZE + 1)] == ROOTS


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33])
def test_every_entry_is_proven_included(size):
    for index in range(size):
        proof = proofs.inclusion_proof(index, size, read)
        assert proof == naive.path(index, ENTRIES[:size])
        leaf = leaf_hash(ENTRIES[index])
        assert proofs.is_included(leaf, index, size, proof, ROOTS[size])
        assert not proofs.is_included(leaf_hash(b"?"), index, size, proof, ROOTS[size])
        assert not proofs.is_included(leaf, index, size, [*proof, leaf], ROOTS[size])
        assert not proofs.is_included(leaf, index, size, proof, ROOTS[size - 1])
        assert not proofs.is_included(leaf, size, size, proof, ROOTS[size])
        assert not proofs.is_included(leaf, -1, size, proof, ROOTS[size])
        for at in range(len(proof)):
            forged = [*proof[:at], leaf_hash(b"?"), *proof[at + 1 :]]
            assert not proofs.is_included(leaf, index, size, forged, ROOTS[size])
            assert not proofs.is_included(
                leaf, index, size, [*proof[:at], *proof[at + 1 :]], ROOTS[size]
            )
        for other in range(size):
            if other != index:
                assert not proofs.is_included(leaf, other, size, proof, ROOTS[size])


@pytest.mark.parametrize("new", [*range(18), 31, 32, 33])
def test_every_tree_is_proven_consistent_with_all_later_ones(new):
    for old in range(new + 1):
        proof = proofs.consistency_proof(old, new, read)
        if 0 < old < new:
            assert proof == naive.proof(old, ENTRIES[:new])
        assert proofs.is_consistent(old, ROOTS[old], new, ROOTS[new], proof)
        other = leaf_hash(b"?")
        assert not proofs.is_consistent(old, other, new, ROOTS[new], proof)
        if old:
            assert not proofs.is_consistent(old, ROOTS[old], new, other, proof)
        assert not proofs.is_consistent(old, ROOTS[old], new, ROOTS[new], [*proof, other])
        for at in range(len(proof)):
            forged = [*proof[:at], other, *proof[at + 1 :]]
            assert not proofs.is_consistent(old, ROOTS[old], new, ROOTS[new], forged)
            shorter = [*proof[:at], *proof[at + 1 :]]
            assert not proofs.is_consistent(old, ROOTS[old], new, ROOTS[new], shorter)


def test_what_no_tree_has_cannot_be_proven():
    with pytest.raises(ValueError, match="a tree of 5 entries has no entry 5"):
        proofs.inclusion_proof(5, 5, read)
    with pytest.raises(ValueError, match="a tree of 3 entries cannot begin with one of 4"):
        proofs.consistency_proof(4, 3, read)
    assert not proofs.is_consistent(4, ROOTS[4], 3, ROOTS[3], [])
    assert not proofs.is_consistent(0, ROOTS[1], 3, ROOTS[3], [])
    assert proofs.is_consistent(0, EMPTY_ROOT, 3, ROOTS[3], [])
