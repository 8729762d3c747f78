"""int8, int8-weight-only and int4: integers packed into 32-bit words, activations as they come.

::

    int8              8 bits, a scale for each group of 32 columns (W8A16)
    int8-weight-only  8 bits, a scale for each row (W8A16)
    int4              4 bits, a scale and a zero point for each group; layers that 4 bits cost most
                      in 8 bits (W4A16; quantize/plan/choices.py says which)

What a row's largest weight costs its other weights, a group of 32 does not pay; and what engines do
to activations is theirs (docs/adr/0017-groups-and-mixed-bits.md). Stored as "pack-quantized" of
compressed-tensors; a matrix's form says the rest::

    weight_packed      I32 [out, in * bits / 32]    formats/packing.py
    weight_scale           [out, in / group]        in the checkpoint's type
    weight_zero_point  I32 [out / 8, in / group]    of 4 bits without symmetry: 8 rows in a word
    weight_shape       I64 [2]

    symmetric   weight = (stored - 2 ** (bits - 1)) * scale
    else        weight = (stored - zero) * scale, zero in 0..15
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.formats import asymmetric, compressed, scales
from quantize.formats.forms import BY_ROW, ROW_UNIT, TORCH, Form, Linear, Part, StoredTensor
from quantize.formats.packing import pack, pack_rows, unpack, unpack_rows
from quantize.plan.candidates import partners
from quantize.protocol import Method, SchemeOptions

TABLE_GROUPS = (128, 64, 32)
"""Groups of a head or an embedding; the largest that divides, for at 8 bits smaller ones bring
nothing."""
# At 4 bits the scale is the largest weight over 7.5, as compressed-tensors' own: the half step that
# the largest positive weight may lose buys all others a finer step. At 8, -128 is left out: a
# kernel may negate what it has loaded.
_LEVELS = {8: 127.0, 4: 7.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The Quantizer; see the head of this module.

    Attributes:
        form: of most layers.
        sensitive: layers in whose names it is found have 8 bits.
        embedding_bits: of a number of the embedding, where layers are in groups.
        searches_8_bits: the method is for all matrices; else for those of fewer bits alone.
    """

    scheme: QuantScheme
    method: Method
    form: Form
    sensitive: re.Pattern[str] | None = None
    embedding_bits: int = 8
    searches_8_bits: bool = True

    def form_of(self, linear: Linear) -> Form:
        if linear.part is Part.EMBEDDING and self.embedding_bits < 8:
            return Form(num_bits=self.embedding_bits, group_size=TABLE_GROUPS[-1])
        if linear.part is not Part.LAYERS and self.form.group_size is not None:
            divides = (size for size in TABLE_GROUPS if linear.num_in % size == 0)
            return Form(num_bits=8, group_size=next(divides, TABLE_GROUPS[-1]))
        if linear.part is Part.LAYERS and self.sensitive is not None:
            names = (linear.name, *partners(linear.name))
            if any(self.sensitive.search(name) for name in names):
                return Form(num_bits=8, group_size=self.form.group_size)
        return self.form

    def fault(self, linear: Linear) -> str | None:
        group = linear.form.group_size
        unit = group or 32 // linear.form.num_bits
        if linear.num_in % unit:
            name = "group" if group else "word"
            return f"a {name} of {unit} does not divide {linear.num_in} columns"
        if not linear.form.is_symmetric and linear.num_out % ROW_UNIT:
            return f"a word of {ROW_UNIT} zero points does not divide {linear.num_out} rows"
        return None

    def stored(self, linear: Linear) -> tuple[StoredTensor, ...]:
        form = linear.form
        words = (linear.num_out, linear.num_in * form.num_bits // 32)
        groups = linear.num_in // (form.group_size or linear.num_in)
        zeros = (linear.num_out // ROW_UNIT, groups)
        zero = StoredTensor(suffix="weight_zero_point", dtype="I32", shape=zeros)
        return (
            StoredTensor(suffix="weight_packed", dtype="I32", shape=words),
            StoredTensor(suffix="weight_scale", dtype=linear.dtype, shape=(linear.num_out, groups)),
            *(() if form.is_symmetric else (zero,)),
            StoredTensor(suffix="weight_shape", dtype="I64", shape=(2,), is_by_row=False),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        form, dtype = linear.form, TORCH[linear.dtype]
        grouped = rows.view(len(rows), -1, form.group_size or linear.num_in)
        is_searched = self.method is Method.SEARCH and (form.num_bits < 8 or self.searches_8_bits)
        parts = {"weight_shape": torch.tensor([linear.num_out, linear.num_in])}
        if form.is_symmetric:
            levels, least = _LEVELS[form.num_bits], -int(_LEVELS[form.num_bits] + 0.5)

            def rounded(values: torch.Tensor) -> torch.Tensor:
                return values.round_().clamp_(least, int(levels))

            if is_searched:
                scale = scales.searched(grouped, levels, dtype, rounded)
            else:
                scale = scales.from_largest(grouped, levels, dtype)
            integers = rounded(grouped / scale).to(torch.int8).view(rows.shape)
        else:
            choose = asymmetric.searched if is_searched else asymmetric.from_range
            scale, zero = choose(grouped, dtype)
            integers = asymmetric.integers(grouped, scale, zero).view(rows.shape)
            parts["weight_zero_point"] = pack_rows(zero.squeeze(-1).to(torch.uint8))
        return parts | {
            "weight_packed": pack(integers, form.num_bits),
            "weight_scale": scale.squeeze(-1).to(dtype),
        }

    def dequantise(self, parts: Mapping[str, torch.Tensor], linear: Linear) -> torch.Tensor:
        scale = parts["weight_scale"].float().unsqueeze(-1)
        integers = unpack(parts["weight_packed"], linear.form.num_bits).float()
        grouped = integers.view(*scale.shape[:2], -1)
        if not linear.form.is_symmetric:
            zero = unpack_rows(parts["weight_zero_point"])[: len(scale)].float()
            grouped = grouped.sub_(zero.unsqueeze(-1) - 8)  # as the integers are
        return grouped.mul_(scale).view(-1, linear.num_in)

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        return compressed.document(
            layout="pack-quantized", kind="int", form=self.form, layers=layers, ignore=ignore
        )


def make(scheme: QuantScheme, options: SchemeOptions) -> Packed:
    """The scheme; int8-weight-only has no groups.

    Raises:
        OptionError: of int4: which layers are sensitive is no regular expression.
    """
    method, group = options.method, options.group_size
    if scheme is QuantScheme.INT8:
        return Packed(scheme=scheme, method=method, form=Form(group_size=group))
    if scheme is QuantScheme.INT8_WEIGHT_ONLY:
        return Packed(scheme=scheme, method=method, form=BY_ROW)
    return Packed(
        scheme=scheme,
        method=method,
        form=Form(num_bits=4, group_size=group, is_symmetric=options.is_symmetric),
        sensitive=_compiled(options.sensitive),
        embedding_bits=options.embedding_bits,
        searches_8_bits=False,
    )


def _compiled(sensitive: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(sensitive) if sensitive else None
    except re.error as error:
        raise OptionError(f"--sensitive {sensitive!r} is no regular expression: {error}") from None
