"""The paged KV cache: what is stored is found again, by block and layer, and nothing else is."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache, LayerShape

WIDE = LayerShape(num_kv_heads=2, key_dim=4, value_dim=4, sliding_window=None)
UNEQUAL = LayerShape(num_kv_heads=1, key_dim=6, value_dim=2, sliding_window=8)


@pytest.fixture
def cache() -> KVCache:
    return KVCache(
        {0: WIDE, 3: UNEQUAL},
        num_blocks=4,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )


def slots(blocks: list[int], num_tokens: int) -> torch.Tensor:
    """Slots of the first tokens of a sequence that has these blocks."""
    places = [block * BLOCK_SIZE + offset for block in blocks for offset in range(BLOCK_SIZE)]
    return torch.tensor(places[:num_tokens])


def test_a_sequence_is_gathered_in_its_own_order_from_scattered_blocks(cache: KVCache) -> None:
    num_tokens = BLOCK_SIZE + 5
    key, value = torch.randn(num_tokens, 2, 4), torch.randn(num_tokens, 2, 4)
    cache.append(0, slots([3, 1], num_tokens), key, value)
    keys, values = cache.gather(0, torch.tensor([3, 1]), 1)
    assert keys.shape == values.shape == (1, 2, 2 * BLOCK_SIZE, 4)
    assert torch.equal(keys[0, :, :num_tokens], key.transpose(0, 1))
    assert torch.equal(values[0, :, :num_tokens], value.transpose(0, 1))


def test_rows_of_a_batch_keep_their_blocks(cache: KVCache) -> None:
    for block in range(4):
        filled = torch.full((BLOCK_SIZE, 2, 4), float(block))
        cache.append(0, slots([block], BLOCK_SIZE), filled, -filled)
    keys, values = cache.gather(0, torch.tensor([2, 0, 1, 3]), 2)
    assert keys.shape == (2, 2, 2 * BLOCK_SIZE, 4)
    assert keys[:, 0, [0, -1], 0].tolist() == [[2, 0], [1, 3]]
    assert values[:, 1, [0, -1], 3].tolist() == [[-2, 0], [-1, -3]]


def test_layers_have_pools_and_shapes_of_their_own(cache: KVCache) -> None:
    cache.append(3, slots([2], 1), torch.ones(1, 1, 6), torch.ones(1, 1, 2))
    keys, values = cache.gather(3, torch.tensor([2]), 1)
    assert (keys.shape[-1], values.shape[-1]) == (6, 2)
    assert keys.sum() == 6
    assert values.sum() == 2
    assert not cache.keys[0].any()


def test_clearing_rids_a_block_of_what_others_left_and_no_other_block(cache: KVCache) -> None:
    for pool in (*cache.keys.values(), *cache.values.values()):
        pool.fill_(torch.nan)
    cache.clear(0, torch.tensor([1, 3]))
    for pool in (cache.keys[0], cache.values[0]):
        assert not pool[[1, 3]].any()
        assert pool[[0, 2]].isnan().all()
    assert cache.keys[3].isnan().all()


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [(WIDE, torch.float32, 64), (WIDE, torch.bfloat16, 32), (UNEQUAL, torch.float16, 16)],
    ids=str,
)
def test_bytes_of_a_token(shape: LayerShape, dtype: torch.dtype, expected: int) -> None:
    assert shape.bytes_per_token(dtype) == expected
    pools = KVCache({0: shape}, num_blocks=3, dtype=dtype, device=torch.device("cpu"))
    size = pools.keys[0].nbytes + pools.values[0].nbytes
    assert size == 3 * BLOCK_SIZE * expected
