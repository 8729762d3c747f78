"""Products with stored integers, against float64 over the dequantised weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from serve.engine.batching import int8_products
from serve.engine.batching.int4_linear import Int4Linear
from serve.engine.batching.loops import native
from serve.engine.batching.quantized_linear import Int8Linear

ROWS = (1, 2, 7, 64)
"""One, few, few that four does not divide, and many."""
OUT, IN = 192, 384
DTYPES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 4e-3}
"""What rounding to the type of the rows may cost, as a share of the result's size."""


@pytest.fixture(autouse=True)
def _quiet():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.fixture(autouse=True, params=["as here", "no VNNI"])
def _processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops of this processor, and those of one that does not sum products of bytes."""
    if request.param == "no VNNI":
        monkeypatch.setattr(native, "has_block_products", lambda _: False)


def int8_parts() -> tuple[torch.Tensor, torch.Tensor, nn.Parameter]:
    weight = torch.randint(-127, 128, (OUT, IN), dtype=torch.int8)
    bias = nn.Parameter(torch.randn(OUT), requires_grad=False)
    return weight, torch.rand(OUT, 1) * 0.01 + 0.001, bias


def int4_parts(
    out: int, num_in: int, group: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Packed words, scales, and the weights they mean, in float64."""
    levels = torch.randint(0, 16, (out, num_in), dtype=torch.uint8)
    packed = (levels[:, ::2] | (levels[:, 1::2] << 4)).contiguous().view(torch.int32)
    scale = torch.rand(out, num_in // group) * 0.01 + 0.001
    return packed, scale, (levels.double() - 8) * scale.double().repeat_interleave(group, 1)


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_w8a8_is_the_exact_product_of_rounded_rows(rows: int, dtype: torch.dtype) -> None:
    weight, scale, bias = int8_parts()
    x = torch.randn(rows, IN).to(dtype)
    x[0, 0] = 20  # an outlier widens the steps of its own row only
    largest = x.double().abs().amax(1, keepdim=True)
    rounded = (x.float() * (127 / largest.float())).round().double()
    expected = rounded @ weight.double().T * scale.double().T * largest / 127 + bias.double()
    layer = Int8Linear(weight, scale, bias, quantizes_input=True)
    assert distance(layer(x), expected) < DTYPES[dtype]
    assert torch.equal(layer(x)[0], layer(x[:1])[0])  # whatever else is in the step


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_w8a16_keeps_the_rows_as_they_are(rows: int, dtype: torch.dtype) -> None:
    weight, scale, bias = int8_parts()
    x = torch.randn(rows, IN).to(dtype)
    expected = x.double() @ (weight.double() * scale.double()).T + bias.double()
    layer = Int8Linear(weight, scale, bias, quantizes_input=False)
    assert distance(layer(x), expected) < max(DTYPES[dtype], 5e-5)
    w8a8 = Int8Linear(weight, scale, bias, quantizes_input=True)
    assert distance(w8a8(x), expected) > 5e-3  # what the second row of the product is for


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("out", "num_in", "group"),
    [(192, 384, 128), (576, 256, 256), (64, 192, 192), (128, 64, 32), (80, 128, 64), (64, 40, 40)],
)
def test_w4a16(rows: int, dtype: torch.dtype, out: int, num_in: int, group: int) -> None:
    packed, scale, weight = int4_parts(out, num_in, group)
    bias = nn.Parameter(torch.randn(out), requires_grad=False)
    x = torch.randn(rows, num_in).to(dtype)
    layer = Int4Linear(packed, scale, bias.to(dtype))
    expected = x.double() @ weight.T + bias.double()
    assert distance(layer(x), expected) < max(2 * DTYPES[dtype], 5e-5)


@pytest.mark.parametrize("rows", ROWS)
def test_without_compiled_loops_the_results_are_the_same(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    weight, scale, bias = int8_parts()
    packed, scales, _ = int4_parts(OUT, IN, 128)
    x = torch.randn(rows, IN)
    monkeypatch.setattr(int8_products, "kind_for", lambda _: "stored")

    def results() -> list[torch.Tensor]:
        layers = (
            Int8Linear(weight, scale, bias, quantizes_input=True),
            Int8Linear(weight, scale, bias, quantizes_input=False),
            Int4Linear(packed, scales, None),
        )
        return [layer(x) for layer in layers]

    assert native.is_available()  # on every platform that these tests are for
    compiled = results()
    monkeypatch.setattr(native, "is_available", lambda: False)
    for ours, plain in zip(compiled, results(), strict=True):
        assert distance(ours, plain.double()) < 5e-5  # 16-bit rows


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("quantizes_input", [True, False])
def test_every_kind_of_product_means_the_same(
    monkeypatch: pytest.MonkeyPatch, rows: int, quantizes_input: bool
) -> None:
    """``int_mm`` is the path of a GPU, run on the CPU: not the real component, torch on CUDA."""
    weight, scale, bias = int8_parts()
    x = torch.randn(rows, IN)
    kinds = {"int_mm", "stored"}
    if native.has_block_products("int8"):  # oneDNN's cuts off what does not fit without VNNI
        kinds.add("onednn")
    results = []
    for kind in sorted(kinds):
        monkeypatch.setattr(int8_products, "kind_for", lambda _, kind=kind: kind)
        results.append(Int8Linear(weight, scale, bias, quantizes_input=quantizes_input)(x))
    for result in results[1:]:
        assert distance(result, results[0].double()) < 5e-5


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_outputs_without_a_gap(threads: int) -> None:
    packed, scale, weight = int4_parts(67, 64, 32)  # a prime number of outputs
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        layer, x = Int4Linear(packed, scale, None), torch.randn(5, 64)
        assert distance(layer(x), x.double() @ weight.T) < 5e-5
        assert distance(layer(x[:1]), x[:1].double() @ weight.T) < 5e-5
        torch.testing.assert_close(layer.tile(0, 67).double(), weight, rtol=1e-6, atol=1e-9)
    finally:
        torch.set_num_threads(before)


def test_a_product_that_saturates_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of pairs cut off at 16 bits, as vpmaddubsw does; computed here."""

    def saturating(weight: torch.Tensor, scale: torch.Tensor) -> int8_products.IntegerProduct:
        def multiply(rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
            products = rows[:, None].float() * weight
            pairs = products.unflatten(2, (-1, 2)).sum(3).clamp(-32768, 32767)
            return (pairs.sum(2) - 128 * weight.float().sum(1)) * scale / 127

        return multiply

    def exact(weight: torch.Tensor, scale: torch.Tensor) -> int8_products.IntegerProduct:
        return lambda rows, dtype: (rows.double() - 128) @ weight.double().T * scale / 127

    kind_for = int8_products.kind_for.__wrapped__
    monkeypatch.setattr(int8_products, "has_tiles_of_bytes", lambda: True)
    monkeypatch.setattr(int8_products, "_onednn", exact)
    assert kind_for("cpu") == "onednn"
    monkeypatch.setattr(int8_products, "_onednn", saturating)
    assert kind_for("cpu") == "stored"
    monkeypatch.setattr(int8_products, "_onednn", exact)
    monkeypatch.setattr(int8_products, "has_tiles_of_bytes", lambda: False)
    assert kind_for("cpu") == "stored"  # weights as they lie on disk, for decoding


@pytest.mark.parametrize("quantizes_input", [True, False])
def test_rows_of_zeros_and_no_rows(quantizes_input: bool) -> None:
    weight, scale, _ = int8_parts()
    layer = Int8Linear(weight, scale, None, quantizes_input=quantizes_input)
    assert torch.equal(layer(torch.zeros(2, 3, IN)), torch.zeros(2, 3, OUT))
    assert layer(torch.zeros(2, 0, IN)).shape == (2, 0, OUT)
    assert layer(torch.full((1, IN), float("nan"))).isnan().all()  # never a plausible number


def test_what_they_hold() -> None:
    weight, scale, bias = int8_parts()
    layer = Int8Linear(weight, scale, bias, quantizes_input=True)
    assert dict(layer.stored_bytes()) == {"int8": OUT * IN, "float32": 4 * OUT}
    packed, scales, _ = int4_parts(OUT, IN, 128)
    small = Int4Linear(packed, scales, None)
    assert small.stored_bytes()["int4"] == OUT * IN // 2
    assert small.stored_bytes()["float32"] == 4 * scales.numel()
    assert not list(small.parameters())
