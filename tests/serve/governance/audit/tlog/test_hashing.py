"""Hashes against RFC 6962's definitions and the vectors of its reference implementation."""

from __future__ import annotations

import hashlib

import pytest

from serve.governance.audit.tlog.hashing import EMPTY_ROOT, leaf_hash, node_hash, root_of
from tests.serve.governance.audit.tlog import naive

LEAVES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""As Certificate Transparency's own tests have them, for the first 1 to 8 leaves."""


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference(size):
    root = root_of([leaf_hash(leaf) for leaf in LEAVES[:size]])
    assert root.hex() == ROOTS[size - 1]
    assert naive.tree_hash(LEAVES[:size]) == root


def test_an_empty_tree_has_the_hash_of_nothing():
    assert root_of([]) == EMPTY_ROOT == hashlib.sha256().digest()


def test_leaf_and_node_cannot_be_taken_for_each_other():
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert node_hash(left, right) != leaf_hash(left + right)


@pytest.mark.parametrize("size", [*range(1, 70), 255, 256])
def test_any_number_of_leaves_gives_the_root_of_the_definition(size):
    entries = naive.some_entries(size)
    assert root_of([leaf_hash(entry) for entry in entries]) == naive.tree_hash(entries)
