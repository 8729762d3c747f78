"""The way into the KV cache: rounding, norms, rotation."""

from __future__ import annotations

import torch

from serve.engine.transformers.kernels import native, store_kernels
from serve.engine.transformers.kernels.arguments import StoreArguments
from tests.serve.engine.transformers.kernels.matrices import bits_of

DIM = 8


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
    native.run(store_kernels.store(is_bfloat16=is_bfloat16), arguments)
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
