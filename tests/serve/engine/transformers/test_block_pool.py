"""Blocks are held, kept, found again, and given up in the right order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.transformers.block_pool import BlockPool


def taken(pool: BlockPool, count: int) -> list[int]:
    blocks = pool.take(count)
    assert blocks is not None
    return blocks


@pytest.fixture
def pool() -> BlockPool:
    return BlockPool(4, keeps=True)


def test_low_blocks_are_taken_first_and_never_more_than_there_are(pool: BlockPool) -> None:
    assert taken(pool, 3) == [0, 1, 2]
    assert pool.take(2) is None
    assert pool.num_available == 1
    pool.release([0, 1, 2])
    assert taken(pool, 4) == [0, 1, 2, 3]


def test_what_is_kept_is_found_up_to_what_is_missing(pool: BlockPool) -> None:
    first, second = taken(pool, 2)
    pool.keep(first, b"1", is_exact=True)
    pool.keep(second, b"2", is_exact=False)
    assert pool.find([b"1", b"2", b"3"]) == [first, second]
    assert pool.find([b"1", b"2"], only_exact=True) == [first]
    assert pool.find([b"3", b"1"]) == []
    assert [pool.is_exact(block) for block in range(4)] == [True, False, False, False]


def test_kept_blocks_outlive_their_holders_and_are_given_up_last(pool: BlockPool) -> None:
    first, second = taken(pool, 2)
    pool.keep(first, b"1", is_exact=True)
    pool.keep(second, b"2", is_exact=True)
    pool.release([first, second])
    assert pool.num_available == 4
    assert taken(pool, 2) == [2, 3]  # nothing was kept in them
    assert pool.num_evictions == 0
    # Without the first block the second would be of no use.
    assert taken(pool, 1) == [second]
    assert (pool.find([b"1", b"2"]), pool.num_evictions, pool.num_kept) == ([first], 1, 1)


def test_the_least_recently_used_goes_first(pool: BlockPool) -> None:
    blocks = taken(pool, 4)
    for block in blocks:
        pool.keep(block, bytes([block]), is_exact=True)
    for block in blocks:
        pool.release([block])
    pool.hold([0])
    pool.release([0])
    assert taken(pool, 3) == [1, 2, 3]
    assert pool.find([bytes([0])]) == [0]


def test_a_block_is_free_when_its_last_holder_is_gone(pool: BlockPool) -> None:
    [block] = taken(pool, 1)
    pool.keep(block, b"1", is_exact=True)
    pool.hold(pool.find([b"1"]))
    pool.release([block])
    assert pool.num_available == 3
    assert taken(pool, 3) == [1, 2, 3]
    assert pool.take(1) is None
    pool.release([block])
    assert pool.num_available == 1


def test_of_two_blocks_of_one_key_the_exact_one_stays(pool: BlockPool) -> None:
    first, second, third = taken(pool, 3)
    pool.keep(first, b"1", is_exact=False)
    pool.keep(second, b"1", is_exact=False)
    assert pool.find([b"1"]) == [first]
    pool.release([first])  # idle, and free as soon as a better one is there
    pool.keep(third, b"1", is_exact=True)
    assert pool.find([b"1"]) == [third]
    pool.keep(second, b"1", is_exact=True)
    assert pool.find([b"1"]) == [third]
    pool.release([second, third])
    assert (pool.num_available, pool.num_kept) == (4, 1)
    assert taken(pool, 3) == [first, 3, second] or pool.num_evictions == 0
    assert pool.num_evictions == 0


def test_without_keeping_nothing_is_found() -> None:
    pool = BlockPool(2)
    [block] = taken(pool, 1)
    pool.keep(block, b"1", is_exact=True)
    assert pool.find([b"1"]) == []
    pool.release([block])
    assert taken(pool, 2) == [0, 1]
    assert pool.num_evictions == 0


def test_a_reset_forgets_everything(pool: BlockPool) -> None:
    blocks = taken(pool, 4)
    pool.keep(blocks[0], b"1", is_exact=True)
    pool.reset()
    assert (pool.num_available, pool.num_kept, pool.find([b"1"])) == (4, 0, [])
    assert taken(pool, 4) == [0, 1, 2, 3]


def used(pool: BlockPool, chain: Sequence[str]) -> None:
    """Run a sequence of these blocks through the pool, and end it."""
    keys = ["/".join(chain[: at + 1]).encode() for at in range(len(chain))]
    found = pool.find(keys)
    pool.hold(found)
    pool.count_use(found)
    block_ids = found + taken(pool, len(keys) - len(found))
    for at in range(len(found), len(keys)):
        parent = keys[at - 1] if at else None
        pool.keep(block_ids[at], keys[at], is_exact=True, parent=parent)
    pool.release(block_ids)


def test_the_hottest_are_those_found_most_often_and_then_last() -> None:
    pool = BlockPool(8, keeps=True)
    for chain in ("xy", "ab", "ac", "z"):
        used(pool, chain)
    found = [kept.key for kept in pool.hottest_first()]
    assert found == [b"a", b"z", b"a/c", b"a/b", b"x", b"x/y"]
    assert [kept.num_uses for kept in pool.hottest_first()] == [1, 0, 0, 0, 0, 0]


def test_a_block_of_another_key_inherits_no_uses_and_the_exact_one_does(pool: BlockPool) -> None:
    first, second = taken(pool, 2)
    pool.keep(first, b"a", is_exact=False)
    pool.count_use([first])
    pool.keep(second, b"a", is_exact=True)
    assert [(kept.block_id, kept.num_uses) for kept in pool.hottest_first()] == [(second, 1)]


@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), max_size=30),
    st.integers(4, 12),
)
def test_no_block_goes_before_its_parent_and_none_without(
    chains: list[list[str]], num_blocks: int
) -> None:
    """Any number of them, cut anywhere, is of use whole: each is found by the keys before it."""
    pool = BlockPool(num_blocks, keeps=True)
    for chain in chains:
        used(pool, chain)
    seen: set[bytes | None] = {None}
    for kept in pool.hottest_first():
        assert kept.parent in seen
        assert kept.key not in seen
        seen.add(kept.key)
    found = [key for key in pool._kept if _is_found(pool, key)]
    assert set(found) == seen - {None}


def _is_found(pool: BlockPool, key: bytes) -> bool:
    parts = key.split(b"/")
    keys = [b"/".join(parts[: at + 1]) for at in range(len(parts))]
    return len(pool.find(keys)) == len(keys)
