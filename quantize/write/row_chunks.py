"""A matrix cut into pieces of whole rows, and what one piece becomes.

A piece is what is read and written at once; within it, blocks of rows small enough for a core's
cache are quantised one after the other, because the arithmetic is a dozen passes over them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from quantize.errors import BadWeightsError
from quantize.formats.dtypes import TORCH
from quantize.plan.layout import Shard
from quantize.plan.scheme_plan import PIECE_BYTES
from quantize.protocol import ROW_UNIT, LayerError, Linear, Output, Quantizer
from quantize.write.source import SourceTensor

BLOCK_WEIGHTS = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
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


def pieces_of(tensor: SourceTensor, outputs: Sequence[Output]) -> Iterator[Piece]:
    """The tensor from front to back."""
    is_quantised = any(output.linear for output in outputs)
    unit = ROW_UNIT * (tensor.num_bytes // tensor.shape[0]) if is_quantised else 1
    step = max(1, PIECE_BYTES // unit) * unit
    for begin in range(0, tensor.num_bytes, step):
        yield Piece(
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
        self, piece: Piece, data: memoryview, shard: Shard
    ) -> tuple[list[Blob], list[LayerError]]:
        """What of the shard this piece is.

        Raises:
            BadWeightsError: NaN or infinity; names the tensor.
        """
        blobs = [
            (shard.places[output.name] + piece.begin, data)
            for output in piece.outputs
            if output.linear is None
        ]
        errors = []
        for linear in piece.linears.values():
            made, error = self._quantise(piece, linear, data, shard)
            blobs += made
            errors.append(error)
        return blobs, errors

    def _quantise(
        self, piece: Piece, linear: Linear, data: memoryview, shard: Shard
    ) -> tuple[list[Blob], LayerError]:
        weights = torch.frombuffer(data, dtype=TORCH[linear.dtype]).view(-1, linear.num_in)
        first = piece.begin * linear.num_out // piece.tensor.num_bytes
        outputs = {output.suffix: output for output in piece.outputs if output.linear == linear}
        blobs: list[Blob] = []
        total = LayerError(name=linear.name, error=0.0, rtn_error=0.0, energy=0.0)
        num_rows = max(1, BLOCK_WEIGHTS // linear.num_in // ROW_UNIT) * ROW_UNIT
        for begin in range(0, len(weights), num_rows):
            rows = weights[begin : begin + num_rows].float()
            try:
                parts = self._quantizer.quantise(rows, linear)
            except BadWeightsError as error:
                raise BadWeightsError(
                    f"{piece.tensor.name} in {piece.tensor.file} cannot be quantised: {error}. "
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
    """Several pieces of one matrix as one."""
    return LayerError(
        name=name,
        error=math.fsum(each.error for each in errors),
        rtn_error=math.fsum(each.rtn_error for each in errors),
        energy=math.fsum(each.energy for each in errors),
    )


def _distance(made: torch.Tensor, rows: torch.Tensor) -> float:
    return _square(made.sub_(rows))


def _square(values: torch.Tensor) -> float:
    flat = values.reshape(-1)
    return float(torch.dot(flat, flat))


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.contiguous().view(torch.uint8).reshape(-1).numpy().data
