"""A decode's attention over the cache, against the definition: order of blocks, windows, heads."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import attention_kernels, native
from serve.engine.transformers.kernels.arguments import AttendArguments, StoreArguments
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from tests.serve.engine.transformers.kernels.matrices import bits_of

HEADS, KV_HEADS, DIM = 4, 2, 8


def attended(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    tables: list[list[int]],
    lengths: list[int],
    window: int,
) -> torch.Tensor:
    """Of queries ``[N, H, D]`` over pools ``[slots, Hkv, D]``."""
    num_rows = len(query)
    qkv = torch.cat([query, torch.full((num_rows, 2 * KV_HEADS, DIM), torch.nan)], 1).contiguous()
    firsts = [sum(map(len, tables[:row])) for row in range(num_rows)]
    blocks = torch.tensor([block for table in tables for block in table])
    starts, ends = torch.tensor(firsts), torch.tensor(lengths)
    most, out = max(lengths), torch.empty(num_rows, HEADS, DIM)
    scores = torch.empty(torch.get_num_threads(), most)
    arguments = AttendArguments(
        num_rows=num_rows,
        num_heads=HEADS,
        num_kv_heads=KV_HEADS,
        head_dim=DIM,
        window=window,
        max_tokens=most,
        qkv=qkv.data_ptr(),
        keys=keys.data_ptr(),
        values=values.data_ptr(),
        starts=starts.data_ptr(),
        lengths=ends.data_ptr(),
        blocks=blocks.data_ptr(),
        out=out.data_ptr(),
        scores=scores.data_ptr(),
        scale=bits_of(0.5),
    )
    native.run(attention_kernels.attend(is_bfloat16=keys.dtype is torch.bfloat16), arguments)
    return out


def defined(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: list[int]
) -> torch.Tensor:
    """One row's ``[H, D]``, over these places of the pools."""
    group = HEADS // KV_HEADS
    heads = []
    for head in range(HEADS):
        k, v = (pool[slots, head // group].double() for pool in (keys, values))
        heads.append((k @ query[head].double() * 0.5).softmax(0) @ v)
    return torch.stack(heads)


@pytest.mark.parametrize("window", [0, 1, 5, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_see_their_own_sequence_up_to_its_end(dtype: torch.dtype, window: int) -> None:
    torch.manual_seed(0)
    tables, lengths = [[3, 1], [2], [0, 4]], [BLOCK_SIZE + 6, 1, 2 * BLOCK_SIZE]
    keys, values = torch.randn(2, 5 * BLOCK_SIZE, KV_HEADS, DIM).to(dtype)
    keys[BLOCK_SIZE + 6 : 2 * BLOCK_SIZE] = torch.nan  # block 1 beyond the first row's end
    query = torch.randn(3, HEADS, DIM)
    result = attended(query, keys, values, tables=tables, lengths=lengths, window=window)
    for row, (table, length) in enumerate(zip(tables, lengths, strict=True)):
        places = [block * BLOCK_SIZE + place for block in table for place in range(BLOCK_SIZE)]
        seen = places[max(0, length - window) if window else 0 : length]
        expected = defined(query[row], keys, values, seen)
        torch.testing.assert_close(result[row].double(), expected, rtol=1e-5, atol=1e-5)


def test_scores_far_apart_do_not_overflow() -> None:
    keys, values = torch.zeros(2, BLOCK_SIZE, KV_HEADS, DIM)
    keys[0], values[0], values[1:] = 1e4, 1.0, -1.0
    query = torch.full((1, HEADS, DIM), 1e4)
    result = attended(query, keys, values, tables=[[0]], lengths=[3], window=0)
    assert torch.equal(result, torch.ones(1, HEADS, DIM))


def stored(
    qkv: torch.Tensor,
    *,
    cos: torch.Tensor,
    sin: torch.Tensor,
    places: list[int],
    norms: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None),
    is_bfloat16: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pools of four slots after rows ``[N, H + 2 Hkv, D]`` with one key-value head."""
    num_rows, width, dim = qkv.shape
    slots = torch.tensor(places)
    dtype = torch.bfloat16 if is_bfloat16 else torch.float32
    keys, values = torch.zeros(2, 4, 1, dim, dtype=dtype)
    tensors = (qkv, cos, sin, *norms, slots, keys, values)
    addresses = (0 if tensor is None else tensor.data_ptr() for tensor in tensors)
    arguments = StoreArguments(num_rows, width - 2, 1, dim, bits_of(1e-6), *addresses)
    native.run(attention_kernels.store(is_bfloat16=is_bfloat16), arguments)
    return keys, values


def test_bfloat16_is_rounded_to_the_nearest() -> None:
    """Values go into the cache as torch rounds them: ties, infinities and NaN among them."""
    numbers = torch.tensor([1.00390625, 1.01171875, -3e38, 3.4e38, torch.inf, torch.nan, 1e-40, 0])
    numbers = torch.cat([numbers, torch.randn(24) * 10])
    qkv = torch.zeros(1, 3, 32)
    qkv[0, 2] = numbers
    cos, sin = torch.ones(1, 32), torch.zeros(1, 32)
    _, values = stored(qkv, cos=cos, sin=sin, places=[2], is_bfloat16=True)
    torch.testing.assert_close(values[2, 0], numbers.bfloat16(), rtol=0, atol=0, equal_nan=True)
    assert not values[[0, 1, 3]].any()


def test_queries_and_keys_are_normed_and_rotated_and_values_are_not() -> None:
    torch.manual_seed(1)
    qkv = torch.randn(2, 4, DIM)  # two query heads, a key and a value
    angles = torch.rand(2, DIM // 2).repeat(1, 2)
    cos, sin = angles.cos().contiguous(), angles.sin().contiguous()
    q_norm, k_norm = torch.randn(2, DIM)

    def expected(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.rms_norm(rows, (DIM,), weight, 1e-6)
        turned = torch.cat([-x[..., DIM // 2 :], x[..., : DIM // 2]], -1)
        return x * cos[:, None] + turned * sin[:, None]

    queries, key = expected(qkv[:, :2], q_norm), expected(qkv[:, 2:3], k_norm)
    own = qkv.clone()
    keys, values = stored(own, cos=cos, sin=sin, places=[3, 0], norms=(q_norm, k_norm))
    torch.testing.assert_close(own[:, :2], queries, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(keys[[3, 0]], key, rtol=1e-5, atol=1e-6)
    assert torch.equal(values[[3, 0], 0], qkv[:, 3])
    assert not keys[1:3].any()
