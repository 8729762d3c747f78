"""The nouns of this package, and what a scheme must do.

A scheme is one file in quantize/schemes with a Quantizer; quantize/registry.py finds it. Its work
is split so that a plan needs no weights and the work no plan: ``stored`` says names, types and
shapes beforehand, so that every byte of the output has its place before the first is computed;
``quantise`` gets some rows of a matrix at a time, so that memory does not grow with the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import torch

from models.refs import QuantScheme
from quantize.formats.dtypes import bytes_of
from quantize.plan.sensitive import SENSITIVE

ROW_UNIT = 8
"""Matrices are cut at multiples of so many rows: zero points of 8 rows lie in one word."""


class Method(StrEnum):
    """How scales and roundings are chosen. quantize/formats/scales.py has the first two."""

    RTN = "rtn"  # round to nearest: the largest weight sets the scale
    SEARCH = "search"  # least squared error over a grid of clippings, then least squares
    GPTQ = "gptq"  # what a rounding did to the answer is made up for by the columns that follow
    AWQ = "awq"  # columns that activations make much of are scaled up before they are rounded


CALIBRATED = frozenset({Method.GPTQ, Method.AWQ})
"""Methods that look at a text; quantize/calibrate has them, in an environment of its own."""
DATA_FREE = tuple(method for method in Method if method not in CALIBRATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a scheme can be told.

    Attributes:
        method: how scales are chosen.
        group_size: columns that share a scale, where the scheme has groups; None takes whole rows.
        is_symmetric: of int4: no zero points.
        sensitive: of int4: a regular expression; layers in whose names it is found get 8 bits.
        embedding_bits: 8, or of int4 4.
    """

    method: Method = Method.RTN
    group_size: int | None = 32
    is_symmetric: bool = False
    sensitive: str | None = SENSITIVE
    embedding_bits: int = 8


class Part(StrEnum):
    """What of a model a matrix is."""

    LAYERS = "layers"
    HEAD = "head"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the numbers of one matrix are stored.

    Attributes:
        num_bits: of a number.
        group_size: columns that share a scale; None where a whole row does.
        is_symmetric: 0 lies in the middle; else each group has a zero point.
    """

    num_bits: int = 8
    group_size: int | None = None
    is_symmetric: bool = True


BY_ROW = Form()
"""8 bits, a scale for each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A matrix that is to be quantised.

    Attributes:
        name: of the module: ``model.layers.0.mlp.up_proj``.
        num_out: rows.
        num_in: columns.
        dtype: of its numbers, in safetensors' word; scales have it too.
        part: an embedding is a matrix too: looked up by rows, and stored like the others.
        form: what it becomes; the plan sets it to what the quantizer says.
    """

    name: str
    num_out: int
    num_in: int
    dtype: str
    part: Part = Part.LAYERS
    form: Form = BY_ROW

    @property
    def num_weights(self) -> int:
        return self.num_out * self.num_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One of the tensors that a quantised matrix is stored as.

    Attributes:
        suffix: behind the module's name: ``weight_scale``.
        dtype: safetensors' word.
        is_by_row: the first dimension is the matrix's rows, or so many of them together; else it is
            small and written whole.
    """

    suffix: str
    dtype: str
    shape: tuple[int, ...]
    is_by_row: bool = True

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * bytes_of(self.dtype)


class Quantizer(Protocol):
    """One scheme with its options. Holds no state; every method is pure."""

    @property
    def scheme(self) -> QuantScheme: ...

    @property
    def method(self) -> Method: ...

    @property
    def form(self) -> Form:
        """Of most layers."""
        ...

    def form_of(self, linear: Linear) -> Form:
        """Of this matrix, by its name, part and shape. Layers that engines join have the same."""
        ...

    def fault(self, linear: Linear) -> str | None:
        """Why this matrix cannot be stored in its form; None where it can.

        ``linear``: of the rows and columns that one device has, where devices share it.
        """
        ...

    def stored(self, linear: Linear) -> tuple[Stored, ...]:
        """What the matrix is stored as."""
        ...

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        """Some rows of the matrix, as ``stored`` says, by suffix.

        Args:
            rows: float32 ``[n, num_in]``; not changed. ``n`` is a multiple of ``ROW_UNIT``, but for
                the matrix's last rows.
            linear: the whole matrix.

        Raises:
            BadWeightsError: NaN or infinity among them.
        """
        ...

    def dequantise(self, parts: Mapping[str, torch.Tensor], linear: Linear) -> torch.Tensor:
        """What an engine computes with: float32 ``[n, num_in]`` from what ``quantise`` made."""
        ...

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        """``quantization_config`` for config.json.

        Args:
            layers: all that are quantised.
            ignore: names of modules that stay.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A matrix that stays as it is, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One tensor of the result.

    Attributes:
        name: in the result.
        source: name of the tensor that it is made from.
        linear: set for a part of a quantised matrix; None for a copy.
        suffix: which part.
        is_by_row: see ``Stored``.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    num_bytes: int
    source: str
    linear: Linear | None = None
    suffix: str = ""
    is_by_row: bool = True

    def bytes_before(self, row: int) -> int:
        """Of its bytes, those that come before the matrix's row of this number."""
        if self.linear is None or not self.is_by_row:
            return 0
        return row * self.num_bytes // self.linear.num_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of some quantised matrices: how many, their numbers, and bytes with scales."""

    num_matrices: int = 0
    num_weights: int = 0
    num_bytes: int = 0

    def plus(self, num_matrices: int, num_weights: int, num_bytes: int) -> Size:
        """With so many more."""
        return Size(
            num_matrices=self.num_matrices + num_matrices,
            num_weights=self.num_weights + num_weights,
            num_bytes=self.num_bytes + num_bytes,
        )

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.num_bytes / self.num_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantPlan:
    """All that is known before the first weight is read.

    Attributes:
        form: of most layers.
        layers: what is quantised, the head and the embedding among them.
        skipped: matrices that are not.
        outputs: every tensor of the result, in the order in which they are made.
        source_bytes: of the weights that are read.
        output_bytes: of the weights that are written.
        peak_memory_bytes: of the process, as estimated; the model's size is no part of it.
        tensor_parallel: devices that the result must be shareable by.
        tensor_parallel_faults: what stands against it.
    """

    scheme: QuantScheme
    method: Method
    form: Form
    layers: tuple[Linear, ...]
    skipped: tuple[Skip, ...]
    outputs: tuple[Output, ...]
    source_bytes: int
    output_bytes: int
    peak_memory_bytes: int
    config: Mapping[str, Any] = field(repr=False)
    tensor_parallel: int = 1
    tensor_parallel_faults: tuple[str, ...] = ()

    @property
    def num_weights(self) -> int:
        """Numbers in the matrices that are quantised."""
        return sum(linear.num_weights for linear in self.layers)

    @property
    def bits_per_weight(self) -> float:
        """Of the quantised matrices, with their scales."""
        return 8 * sum(size.num_bytes for size in self.sizes.values()) / self.num_weights

    @property
    def sizes(self) -> Mapping[Part, Size]:
        """Of what is quantised, part by part."""
        found: dict[Part, Size] = {}
        for linear in self.layers:
            found[linear.part] = found.get(linear.part, Size()).plus(1, linear.num_weights, 0)
        for output in self.outputs:
            if output.linear is not None:
                part = output.linear.part
                found[part] = found[part].plus(0, 0, output.num_bytes)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerError:
    """What quantisation did to one matrix. Sums of squares are over all its weights.

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
class QuantReport:
    """What a run made, and what it took.

    Attributes:
        digest: of the result's manifest.
        source_digest: of the model that it was made from.
        num_resumed_bytes: of the source, done by earlier runs.
        seconds: of this run alone.
        peak_memory_bytes: of this process (VmHWM).
    """

    plan: QuantPlan
    digest: str
    source_digest: str
    layers: tuple[LayerError, ...]
    num_resumed_bytes: int
    seconds: float
    peak_memory_bytes: int

    @property
    def relative_mse(self) -> float:
        """Over all quantised weights."""
        energy = sum(layer.energy for layer in self.layers)
        return sum(layer.error for layer in self.layers) / energy if energy else 0.0

    @property
    def rtn_relative_mse(self) -> float:
        """The same of plain round-to-nearest."""
        energy = sum(layer.energy for layer in self.layers)
        return sum(layer.rtn_error for layer in self.layers) / energy if energy else 0.0
