"""Layers and embeddings over panels: what is rounded where, columns that fill no block, bytes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from serve.engine.transformers.kernels import native
from serve.engine.transformers.layers.packed_linear import PackedEmbedding, PackedLinear
from serve.engine.transformers.loader.packed_weights import Integers
from tests.serve.engine.transformers.kernels.matrices import Kind, distance, matrix, rounded

ROWS = (1, 7, 9, 70)
"""One, few, and so many that threads round them together."""
OUT = 300
"""More than a tile."""
DTYPES = {torch.float32: 5e-6, torch.float16: 2e-3, torch.bfloat16: 4e-3}
"""What rounding to the type of the rows may cost, as a share of the result's size."""
KINDS = {
    "8 bits": Kind(bits=8),
    "4 bits with zero points": Kind(bits=4, has_zeros=True),
    "4 bits": Kind(bits=4, group=128),
}


@pytest.fixture(autouse=True)
def _quiet():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def layer_of(name: str, dtype: torch.dtype) -> tuple[PackedLinear, torch.Tensor]:
    """With a bias; and its weights in float64."""
    weight, meant = matrix(KINDS[name], OUT, 256)
    bias = nn.Parameter(torch.randn(OUT).to(dtype), requires_grad=False)
    return PackedLinear(weight, bias, in_features=256), meant


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("loops", [True, False])
def test_rows_are_rounded_where_there_are_loops(
    monkeypatch: pytest.MonkeyPatch, *, loops: bool, name: str, dtype: torch.dtype
) -> None:
    """Without is the way of a GPU, run on the CPU: not the real component, torch on CUDA."""
    monkeypatch.setattr(native, "is_available", lambda: loops)
    layer, weight = layer_of(name, dtype)
    x = torch.randn(ROWS[-1], 256).to(dtype)
    x[0, 0] = 20
    for rows in ROWS:
        result, some = layer(x[:rows]), x[:rows]
        seen = rounded(some) if loops else some.double()
        assert result.dtype is dtype
        assert distance(result, seen @ weight.T + layer.bias.double()) < DTYPES[dtype]
    assert layer.scheme.endswith("A8)" if loops else "A16)")
    assert (layer.matrix is not None) == loops


def test_a_large_number_costs_its_own_block_only() -> None:
    """Steps as wide as a whole row's largest number asks for would cost all other blocks, too."""
    layer, weight = layer_of("8 bits", torch.float32)
    x = torch.randn(64, 256)
    x[:, 9] *= 30
    exact = x.double() @ weight.T + layer.bias.double()
    largest = x.abs().amax(1, keepdim=True) / 127
    by_row = (x / largest).round() * largest
    assert distance(layer(x), exact) < 0.015
    assert distance(by_row.double() @ weight.T + layer.bias.double(), exact) > 0.02


@pytest.mark.parametrize("loops", [True, False])
@pytest.mark.parametrize("columns", [40, 72, 8])
@pytest.mark.parametrize("bits", [8, 4])
def test_columns_that_fill_no_block(
    monkeypatch: pytest.MonkeyPatch, *, bits: int, columns: int, loops: bool
) -> None:
    monkeypatch.setattr(native, "is_available", lambda: loops)
    stored = torch.randint(0, 1 << bits, (50, columns), dtype=torch.uint8)
    scale = torch.rand(50, 1) * 0.01 + 0.001
    zeros = None if bits == 8 else torch.randint(0, 16, (50, 1), dtype=torch.uint8)
    layer = Integers(bits=bits, weight=stored, scale=scale, zeros=zeros).linear(None)
    assert (layer.in_features, layer.out_features) == (columns, 50)
    assert layer.matrix is None  # the compiled step has rows of whole blocks only
    less = torch.tensor(128.0).double() if zeros is None else zeros.double()
    weight = (stored.double() - less) * scale.double()
    for rows in (1, 3, 12):
        x = torch.randn(rows, columns)
        seen = nn.functional.pad(x, (0, -columns % 32))
        seen = (rounded(seen) if loops else seen.double())[:, :columns]
        assert distance(layer(x), seen @ weight.T) < DTYPES[torch.float32]


@pytest.mark.parametrize("name", KINDS)
def test_rows_of_zeros_and_no_rows(name: str) -> None:
    weight, _ = matrix(KINDS[name], OUT, 256)
    layer = PackedLinear(weight, None, in_features=256)
    assert torch.equal(layer(torch.zeros(2, 3, 256)), torch.zeros(2, 3, OUT))
    assert layer(torch.zeros(2, 0, 256)).shape == (2, 0, OUT)
    assert layer(torch.full((1, 256), float("nan"))).isnan().all()  # never a plausible number


def test_what_they_hold() -> None:
    panels_of_8 = 304  # outputs fill panels of 16
    layer, _ = layer_of("8 bits", torch.bfloat16)
    assert (layer.stored_as, layer.scheme) == ("int8", "int8 (W8A8)")
    assert dict(layer.stored_bytes()) == {
        "int8": panels_of_8 * 256,
        "scales": panels_of_8 * 256 // 32 * 2,
    }
    small, _ = layer_of("4 bits with zero points", torch.bfloat16)
    assert (small.stored_as, small.scheme) == ("int4", "int4 (W4A8)")
    assert dict(small.stored_bytes()) == {
        "int4": panels_of_8 * 256 // 2,
        "scales": panels_of_8 * 256 // 32 * 3,
    }
    assert [name for name, _ in small.named_parameters()] == ["bias"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("factor", [None, torch.tensor(11.3137)])
@pytest.mark.parametrize("name", ["8 bits", "4 bits with zero points"])
def test_an_embedding_gives_the_rows_that_are_asked_for(
    name: str, dtype: torch.dtype, factor: torch.Tensor | None
) -> None:
    weight, meant = matrix(KINDS[name], 100, 64)
    embedding = PackedEmbedding(weight, dtype, factor)
    ids = torch.tensor([[99, 0, 16], [15, 99, 7]])
    expected = meant.to(dtype)[ids]
    if factor is not None:
        expected *= factor.to(dtype)
    assert torch.equal(embedding(ids), expected)
    assert embedding(ids[:, :0]).shape == (2, 0, 64)
    assert (embedding.num_embeddings, embedding.embedding_dim) == (100, 64)
    bits = weight.bits
    assert embedding.scheme == f"int{bits} embedding"
    scales = 112 * 2 * (2 if bits == 8 else 3)
    assert dict(embedding.stored_bytes()) == {f"int{bits}": 112 * 64 * bits // 8, "scales": scales}
