"""A model's layers rounded one after the other, on the inputs that the text brings them.

The text goes through the model once. When it reaches a layer that is quantised, the sums of its
inputs' products are taken, the layer is rounded, what comes out is written to its place, and the
text goes on through the rounded layer: so later layers make up for earlier ones, too. What is
rounded otherwise (head, embedding) was written before, and is read from there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch

from models import durable
from models.progress import Progress
from quantize.errors import BadWeightsError
from quantize.formats.forms import TORCH, Linear, Part
from quantize.formats.packing import pack, pack_rows
from quantize.gptq import compensation
from quantize.gptq.compensation import Factor, Rounded
from quantize.gptq.samples import Samples
from quantize.measuring import rounding
from quantize.measuring.matrices import Folder, Matrix, tiles
from quantize.measuring.network import Multiply, Network
from quantize.measuring.products import streamed
from quantize.plan.layout import Shard
from quantize.plan.scheme_plan import Output
from quantize.protocol import Quantizer
from quantize.write.row_chunks import LayerError, summed
from quantize.write.writer import write_at

_ROWS = 2048
"""Rows of inputs whose products are added up at a time."""


@dataclass(slots=True, kw_only=True)
class Calibration:
    """One pass over the model.

    Attributes:
        full: folder of the full weights.
        tree: folder of the quantised ones, whole, in which the layers are written anew.
        layers: all that is quantised.
        quantizer: in which scheme.
        shards: of the result.
        samples: the text.
        progress: counts the phase ``calibrate``, in bytes of the full weights.
    """

    full: Path
    tree: Path
    layers: Sequence[Linear]
    quantizer: Quantizer
    shards: Sequence[Shard]
    samples: Samples
    progress: Progress
    _places: dict[str, tuple[int, int, Output]] = field(default_factory=dict)
    _errors: dict[str, list[LayerError]] = field(default_factory=dict)

    def run(self) -> dict[str, LayerError]:
        """Round every layer. Returns each one's error, by name.

        Raises:
            BadWeightsError: NaN or infinity in a weight, or in what reaches a layer.
            QuantizeError: transformers does not know the model, or a weight is missing.
            OSError: something cannot be read or written.
        """
        network = Network(self.full)
        with ExitStack() as stack:
            full = stack.enter_context(Folder(self.full))
            quantised = stack.enter_context(Folder(self.tree, self.layers, self.quantizer))
            for shard in self.shards:
                descriptor = os.open(self.tree / shard.name, os.O_WRONLY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                for output in shard.outputs:
                    place = descriptor, shard.places[output.name], output
                    self._places[output.name] = place
            self.progress.phase("calibrate", network.read_bytes(full))
            network.forward(quantised, self.samples.tokens, self._multiply(full))
            for descriptor in {descriptor for descriptor, _, _ in self._places.values()}:
                durable.sync(descriptor)
        return {name: summed(name, parts) for name, parts in self._errors.items()}

    def _multiply(self, full: Folder) -> Multiply:
        by_name = {layer.name: layer for layer in self.layers if layer.part is Part.LAYERS}
        plain = streamed(full, None, self.progress.advance)
        inputs_seen = Inputs()
        by_engine = rounding.of_scheme(self.quantizer.scheme)

        def multiply(name: str, inputs: torch.Tensor) -> torch.Tensor:
            linear = by_name.get(name)
            if linear is None:
                return plain(name, inputs)
            matrix = full.matrix(name)
            by = inputs_seen.factor(inputs, linear.form.group_size)
            products = torch.empty(len(inputs), matrix.num_out)
            engine_inputs = by_engine(inputs) if by_engine is not None else inputs
            for begin, end in tiles(matrix):
                rows = self._round(linear, matrix, begin, end, by)
                products[:, begin:end] = engine_inputs @ rows.T
            self.progress.advance(matrix.num_bytes)
            return products

        return multiply

    def _round(
        self, linear: Linear, matrix: Matrix, begin: int, end: int, by: Factor
    ) -> torch.Tensor:
        """Round some rows and write them; returns what an engine multiplies with."""
        rows = matrix.rows(begin, end)
        try:
            rounded = compensation.rounded(rows, by, linear.form, TORCH[linear.dtype])
        except BadWeightsError as error:
            raise BadWeightsError(f"{linear.name} cannot be calibrated: {error}.") from None
        parts = _parts(rounded, linear)
        for suffix, part in parts.items():
            descriptor, place, output = self._places[f"{linear.name}.{suffix}"]
            data = part.contiguous().view(torch.uint8).reshape(-1).numpy().data
            write_at(descriptor, place + output.bytes_before(begin), data)
        values = self.quantizer.dequantise(parts, linear)
        self._errors.setdefault(linear.name, []).append(_error(linear, rows, values))
        return values


def _parts(rounded: Rounded, linear: Linear) -> dict[str, torch.Tensor]:
    """The tensors as schemes/packed.py stores them; ``weight_shape`` is there already."""
    parts = {
        "weight_packed": pack(rounded.integers, linear.form.num_bits),
        "weight_scale": rounded.scale.to(TORCH[linear.dtype]),
    }
    if rounded.zero is not None:
        parts["weight_zero_point"] = pack_rows(rounded.zero.to(torch.uint8))
    return parts


def _error(linear: Linear, rows: torch.Tensor, values: torch.Tensor) -> LayerError:
    """The error of the weights alone: larger than without a text, which keeps the answers."""
    error = float((values - rows).square_().sum())
    energy = float(rows.square().sum())
    return LayerError(name=linear.name, error=error, rtn_error=error, energy=energy)


@dataclass(slots=True)
class Inputs:
    """The factor for the layer that is rounded, kept for its siblings: q, k and v read the same."""

    _last: torch.Tensor | None = None
    _factor: Factor | None = None

    def factor(self, inputs: torch.Tensor, group_size: int | None) -> Factor:
        """The factor for ``inputs`` ``[n, num_in]``, float32; siblings' groups are of one size.

        Raises:
            BadWeightsError: they hold NaN or infinity.
        """
        if self._factor is None or self._last is None or not _is_same(inputs, self._last):
            self._factor = None  # two of them would be held while the next is made
            products = torch.zeros(inputs.shape[1], inputs.shape[1])
            for begin in range(0, len(inputs), _ROWS):
                rows = inputs[begin : begin + _ROWS]
                products.addmm_(rows.T, rows)
            self._factor = compensation.factor(products, group_size)
            self._last = inputs
        return self._factor


def _is_same(inputs: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether it is the same memory; ``other`` is held, so no new one can lie there."""
    return inputs.data_ptr() == other.data_ptr() and inputs.shape == other.shape
