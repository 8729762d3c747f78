"""A block's bytes go to a buffer and into another cache as they are."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache, LayerShape
from serve.engine.transformers.prefix_store.block_bytes import BlockBytes

SHAPES = {
    0: LayerShape(num_kv_heads=2, key_dim=8, value_dim=8, sliding_window=None),
    2: LayerShape(num_kv_heads=1, key_dim=24, value_dim=16, sliding_window=70),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_block_comes_back_and_no_other_is_touched(dtype: torch.dtype) -> None:
    caches = [
        KVCache(SHAPES, num_blocks=3, dtype=dtype, device=torch.device("cpu")) for _ in range(2)
    ]
    source, target = caches
    pools = [(source.keys[n], target.keys[n]) for n in SHAPES]
    pools += [(source.values[n], target.values[n]) for n in SHAPES]
    for theirs, _ in pools:
        theirs.copy_(torch.randn(theirs.shape))
    num_bytes = BlockBytes.num_bytes(source)
    assert num_bytes == BLOCK_SIZE * (2 * 16 + 40) * dtype.itemsize
    buffer = bytearray(7 + num_bytes)
    BlockBytes(source, buffer, 7).copy_out(1)
    assert buffer[:7] == bytes(7)
    BlockBytes(target, buffer, 7).copy_in(2)
    for theirs, ours in pools:
        assert torch.equal(theirs[1], ours[2])
        assert not ours[:2].any()
