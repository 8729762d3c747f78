"""The quantizer: what a scheme must do.

A scheme is a Quantizer in quantize/schemes; quantize/registry.py has the table. Its work is split
so that a plan needs no weights and the work no plan: ``stored`` says names, types and shapes
beforehand, so that every byte of the output has its place before the first is computed;
``quantise`` gets some rows of a matrix at a time, so that memory does not grow with the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import torch

from models.refs import QuantScheme
from quantize.formats.forms import Form, Linear, StoredTensor
from quantize.plan.choices import SENSITIVE


class Method(StrEnum):
    """The way in which scales and roundings are chosen; formats/scales.py has the first two."""

    RTN = "rtn"  # round to nearest: the largest weight sets the scale
    SEARCH = "search"  # least squared error over a grid of clippings, then least squares
    GPTQ = "gptq"  # what a rounding did to the answer is made up for by the columns that follow
    AWQ = "awq"  # columns that activations make much of are scaled up before they are rounded


CALIBRATED = frozenset({Method.GPTQ, Method.AWQ})
"""Methods that look at a text; quantize/gptq has one, quantize/calibrate both."""
DATA_FREE = tuple(method for method in Method if method not in CALIBRATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeOptions:
    """The options of a scheme.

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


class Quantizer(Protocol):
    """One scheme with its options. Holds no state; every method is pure."""

    @property
    def scheme(self) -> QuantScheme: ...

    @property
    def method(self) -> Method: ...

    @property
    def form(self) -> Form:
        """The form of most layers."""
        ...

    def form_of(self, linear: Linear) -> Form:
        """The form of this matrix, by its name, part and shape.

        Layers that engines join have the same.
        """
        ...

    def fault(self, linear: Linear) -> str | None:
        """Why this matrix cannot be stored in its form; None where it can.

        Args:
            linear: of the rows and columns that one device has, where devices share it.
        """
        ...

    def stored(self, linear: Linear) -> tuple[StoredTensor, ...]:
        """The tensors that the matrix is stored as."""
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
        """The weights an engine computes with: float32 ``[n, num_in]`` from ``quantise``'s."""
        ...

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        """``quantization_config`` for config.json.

        Args:
            layers: all that are quantised.
            ignore: names of modules that stay.
        """
        ...
