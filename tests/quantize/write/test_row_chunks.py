"""Matrices cut into chunks, and what a chunk becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.refs import QuantScheme
from quantize.errors import BadWeightsError
from quantize.formats.forms import Linear
from quantize.plan import layout
from quantize.plan.scheme_plan import Output
from quantize.protocol import Method, Quantizer
from quantize.write import row_chunks
from quantize.write.row_chunks import LayerError, Worker, chunks_of, summed
from quantize.write.source import SourceTensor
from tests.contracts.quantizer import quantizer_of

NUM_IN = 64


def matrix(num_out: int, scheme: QuantScheme = QuantScheme.INT4) -> tuple[Linear, Quantizer]:
    quantizer = quantizer_of(scheme, group=32)
    linear = Linear(name="m", num_out=num_out, num_in=NUM_IN, dtype="F32")
    return replace(linear, form=quantizer.form_of(linear)), quantizer


def tensor_of(shape: tuple[int, ...], num_bytes: int) -> SourceTensor:
    return SourceTensor(
        name="m.weight", file="f", dtype="F32", shape=shape, begin=0, num_bytes=num_bytes
    )


def outputs_of(linear: Linear, quantizer: Quantizer) -> list[Output]:
    return [
        Output(
            name=f"m.{part.suffix}",
            dtype=part.dtype,
            shape=part.shape,
            num_bytes=part.num_bytes,
            source="m.weight",
            linear=linear,
            suffix=part.suffix,
            is_by_row=part.is_by_row,
        )
        for part in quantizer.stored(linear)
    ]


@given(num_rows=st.integers(1, 100), max_bytes=st.integers(1, 10_000))
def test_chunks_are_whole_rows_by_eight_and_all_of_them(num_rows: int, max_bytes: int) -> None:
    linear, quantizer = matrix(num_rows)
    tensor = tensor_of((num_rows, NUM_IN), 4 * NUM_IN * num_rows)
    unit = 8 * 4 * NUM_IN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_chunks, "CHUNK_BYTES", max_bytes)
        chunks = [*chunks_of(tensor, outputs_of(linear, quantizer))]
    position = 0
    for chunk in chunks:
        assert chunk.begin == position
        assert chunk.num_bytes <= max(unit, max_bytes)
        position += chunk.num_bytes
    assert position == tensor.num_bytes
    assert all(chunk.num_bytes % unit == 0 for chunk in chunks[:-1])


def test_a_copy_is_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_chunks, "CHUNK_BYTES", 10)
    copy = Output(name="n", dtype="F32", shape=(6,), num_bytes=24, source="n")
    assert [chunk.num_bytes for chunk in chunks_of(tensor_of((6,), 24), [copy])] == [10, 10, 4]


def made(weights: torch.Tensor, method: Method = Method.RTN) -> tuple[bytes, list[LayerError]]:
    """The shard's data, by a worker, and the errors of each chunk."""
    linear, quantizer = matrix(len(weights))
    plain = quantizer
    quantizer = quantizer_of(quantizer.scheme, method, group=32)
    tensor = tensor_of(tuple(weights.shape), weights.nbytes)
    (shard,) = layout.shards_of(outputs_of(linear, quantizer))
    worker = Worker(quantizer, plain if method is Method.SEARCH else None)
    file = bytearray(shard.num_bytes)
    errors = []
    source = memoryview(bytearray(weights.numpy().tobytes()))
    for chunk in chunks_of(tensor, shard.outputs):
        data = source[chunk.begin : chunk.begin + chunk.num_bytes]
        blobs, chunk_errors = worker.make(chunk, data, shard)
        errors += chunk_errors
        for place, blob in blobs:
            file[place : place + len(blob)] = blob
    return bytes(file[len(shard.header) :]), errors


@pytest.mark.parametrize("num_rows", [8, 40, 56])
@pytest.mark.parametrize("rows_of_a_block", [8, 16])
def test_chunks_and_blocks_make_the_bytes_of_the_whole(
    num_rows: int, rows_of_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.randn(num_rows, NUM_IN, generator=torch.Generator().manual_seed(0))
    whole, (error,) = made(weights)
    monkeypatch.setattr(row_chunks, "CHUNK_BYTES", 32 * 4 * NUM_IN)
    monkeypatch.setattr(row_chunks, "BLOCK_WEIGHTS", rows_of_a_block * NUM_IN)
    parts, errors = made(weights)
    assert parts == whole
    total = summed("m", errors)
    assert total.error == pytest.approx(error.error, rel=1e-5)
    assert total.energy == pytest.approx(float(weights.square().sum()), rel=1e-5)


def test_the_error_stands_beside_that_of_plain_rounding() -> None:
    weights = torch.randn(16, NUM_IN, generator=torch.Generator().manual_seed(0))
    (plain,) = made(weights)[1]
    (searched,) = made(weights, Method.SEARCH)[1]
    assert plain.rtn_error == plain.error
    assert searched.rtn_error == pytest.approx(plain.error)
    assert searched.error < searched.rtn_error


def test_a_weight_that_is_no_number_names_tensor_and_file() -> None:
    weights = torch.zeros(8, NUM_IN)
    weights[3, 5] = torch.nan
    with pytest.raises(BadWeightsError, match=r"m\.weight in f cannot be quantised: it holds NaN"):
        made(weights)


def test_errors_add_up_and_a_matrix_of_zeros_has_none() -> None:
    parts = [LayerError(name="m", error=1.0, rtn_error=2.0, energy=10.0)] * 2
    assert summed("m", parts) == LayerError(name="m", error=2.0, rtn_error=4.0, energy=20.0)
    assert summed("m", parts).relative_mse == pytest.approx(0.1)
    assert LayerError(name="z", error=0.0, rtn_error=0.0, energy=0.0).relative_mse == 0
