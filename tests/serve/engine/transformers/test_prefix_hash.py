"""Keys differ wherever anything that led to a block's content does."""

from __future__ import annotations

import itertools

from serve.engine.transformers.prefix_hash import chained, root_key


def test_tenants_and_adapters_have_roots_of_their_own() -> None:
    names = (None, "", "a", "b", "a1:b", "ab", "1:a")
    keys = [root_key(salt, adapter) for salt, adapter in itertools.product(names, names)]
    assert len(set(keys)) == len(keys)
    assert root_key("a", "b") == root_key("a", "b")


def test_a_key_is_of_all_tokens_before_it() -> None:
    root = root_key("tenant", None)
    first, other = chained(root, [1, 2]), chained(root, [2, 1])
    keys = [
        first,
        other,
        chained(first, [3, 4]),
        chained(other, [3, 4]),
        chained(root, [1, 2, 3, 4]),  # one block is not two
        chained(root, [3, 4]),
        chained(root, [1 << 32, 2]),
    ]
    assert len(set(keys)) == len(keys)
    assert chained(root, (1, 2)) == first
