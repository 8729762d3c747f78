"""A matrix cut into chunks of whole rows, and what one chunk becomes.

A chunk is what is read and written at once; within it, blocks of rows small enough for a core's
cache are quantised one after the other, because the arithmetic is a dozen passes over them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from quantize.errors import BadWeightsError
from quantize.formats.forms import ROW_UNIT, TORCH, Linear
from quantize.plan.layout import Shard
from quantize.plan.planning import CHUNK_BYTES
from quantize.plan.scheme_plan import Output
from quantize.protocol import Quantizer
from quantize.write.source import SourceTensor

BLOCK_WEIGHTS = 1 << 18
"""Weights of a block: 1 MiB in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerError:
    """The error of one quantised matrix. Sums of squares are over all its weights.

    Attributes:
        error: of the difference.
        rtn_error: the same for plain round-to-nearest; equal to ``error`` where that was used.
        energy: of the weights themselves.
    """

    name: str
    error: float
    rtn_error: float
    energy: float

    @property
    def relative_mse(self) -> float:
        """0 for a matrix of zeros, which every scheme keeps."""
        return self.error / self.energy if self.energy else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChunk:
    """Some bytes of one source tensor; ``ROW_UNIT`` rows or a multiple where it is quantised.

    Attributes:
        begin: of its first byte within the tensor.
        outputs: what the tensor becomes.
    """

    tensor: SourceTensor
    begin: int
    num_bytes: int
    outputs: tuple[Output, ...]

    @property
    def linears(self) -> dict[str, Linear]:
        """The matrices that the tensor is quantised as, by name."""
        return {output.linear.name: output.linear for output in self.outputs if output.linear}


Blob = tuple[int, memoryview]
"""A place in the shard, and the bytes that belong there."""


def chunks_of(tensor: SourceTensor, outputs: Sequence[Output]) -> Iterator[RowChunk]:
    """The tensor from front to back."""
    is_quantised = any(output.linear for output in outputs)
    unit = ROW_UNIT * (tensor.num_bytes // tensor.shape[0]) if is_quantised else 1
    step = max(1, CHUNK_BYTES // unit) * unit
    for begin in range(0, tensor.num_bytes, step):
        yield RowChunk(
            tensor=tensor,
            begin=begin,
            num_bytes=min(step, tensor.num_bytes - begin),
            outputs=tuple(outputs),
        )


class Worker:
    """Makes the bytes of the result from those of the source, and keeps account of the error.

    Args:
        quantizer: of the run.
        plain: the same scheme with plain rounding, to compare with; None where it is that already.
    """

    def __init__(self, quantizer: Quantizer, plain: Quantizer | None) -> None:
        self._quantizer = quantizer
        self._plain = plain

    def make(
        self, chunk: RowChunk, data: memoryview, shard: Shard
    ) -> tuple[list[Blob], list[LayerError]]:
        """The bytes of the shard that this chunk becomes, and the error of each matrix.

        Raises:
            BadWeightsError: NaN or infinity; names the tensor.
        """
        blobs = [
            (shard.places[output.name] + chunk.begin, data)
            for output in chunk.outputs
            if output.linear is None
        ]
        errors = []
        for linear in chunk.linears.values():
            quantised, error = self._quantise(chunk, linear, data, shard)
            blobs += quantised
            errors.append(error)
        return blobs, errors

    def _quantise(
        self, chunk: RowChunk, linear: Linear, data: memoryview, shard: Shard
    ) -> tuple[list[Blob], LayerError]:
        weights = torch.frombuffer(data, dtype=TORCH[linear.dtype]).view(-1, linear.num_in)
        first = chunk.begin * linear.num_out // chunk.tensor.num_bytes
        outputs = {output.suffix: output for output in chunk.outputs if output.linear == linear}
        blobs: list[Blob] = []
        total = LayerError(name=linear.name, error=0.0, rtn_error=0.0, energy=0.0)
        num_rows = max(1, BLOCK_WEIGHTS // linear.num_in // ROW_UNIT) * ROW_UNIT
        for begin in range(0, len(weights), num_rows):
            rows = weights[begin : begin + num_rows].float()
            try:
                parts = self._quantizer.quantise(rows, linear)
            except BadWeightsError as error:
                raise BadWeightsError(
                    f"{chunk.tensor.name} in {chunk.tensor.file} cannot be quantised: {error}. "
                    "The file is damaged, or the training went wrong; get the model anew."
                ) from None
            total = self._measured(total, rows, parts, linear)
            for suffix, part in parts.items():
                output = outputs[suffix]
                place = shard.places[output.name] + output.bytes_before(first)
                blobs.append((place, _bytes(part)))
            first += len(rows)
        return blobs, total

    def _measured(
        self, total: LayerError, rows: torch.Tensor, parts: dict[str, torch.Tensor], linear: Linear
    ) -> LayerError:
        error = _distance(self._quantizer.dequantise(parts, linear), rows)
        rtn = error
        if self._plain is not None:
            plain = self._plain.quantise(rows, linear)
            rtn = _distance(self._plain.dequantise(plain, linear), rows)
        return replace(
            total,
            error=total.error + error,
            rtn_error=total.rtn_error + rtn,
            energy=total.energy + _square(rows),
        )


def summed(name: str, errors: Sequence[LayerError]) -> LayerError:
    """The errors of several chunks of one matrix as one."""
    return LayerError(
        name=name,
        error=math.fsum(part.error for part in errors),
        rtn_error=math.fsum(part.rtn_error for part in errors),
        energy=math.fsum(part.energy for part in errors),
    )


def _distance(values: torch.Tensor, rows: torch.Tensor) -> float:
    return _square(values.sub_(rows))


def _square(values: torch.Tensor) -> float:
    flat = values.reshape(-1)
    return float(torch.dot(flat, flat))


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.contiguous().view(torch.uint8).reshape(-1).numpy().data
