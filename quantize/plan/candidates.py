"""The matrices that are linear layers, by their names.

Only names that we know for a linear layer's count: in some families (GPT-2) a matrix of two
dimensions is stored the other way round, and to guess would ruin it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.tensor_names import EMBEDDINGS, HEADS
from quantize.errors import OptionError
from quantize.formats import forms
from quantize.formats.forms import Linear, Part
from quantize.plan.scheme_plan import Skip
from quantize.plan.tables import HEAD, Stays, is_tied, with_tied_head
from quantize.write.source import SourceTensor

FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
COLUMN = frozenset({"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "qkv_proj"})
COLUMN |= {"gate_up_proj"}
ROW = frozenset({"o_proj", "down_proj"})
"""Devices share the columns' products by rows of the matrix, and the rows' by its columns."""


def candidates(
    tensors: Sequence[SourceTensor],
    *,
    ignore: str | None,
    stays: Stays,
) -> tuple[list[Linear], list[Skip]]:
    """Matrices that may be quantised, and those that stay, before a scheme is asked.

    Args:
        ignore: a regular expression; modules in whose names it is found stay.
        stays: whether head and embedding do.

    Raises:
        OptionError: ``ignore`` is no regular expression.
    """
    try:
        ignored = re.compile(ignore) if ignore else None
    except re.error as error:
        raise OptionError(f"--ignore {ignore!r} is no regular expression: {error}") from None
    linears, skipped = [], []
    for tensor in tensors if stays.head else with_tied_head(tensors):
        name = tensor.name.removesuffix(".weight")
        if len(tensor.shape) != 2 or name == tensor.name:
            continue
        part = part_of(name)
        reason = {Part.HEAD: stays.head, Part.EMBEDDING: stays.embedding}.get(part)
        if reason is None:
            reason = _reason(name, tensor, part)
        if reason is None and ignored is not None and ignored.search(name):
            reason = "--ignore"
        if reason is None:
            out, num_in = tensor.shape
            linears.append(
                Linear(name=name, num_out=out, num_in=num_in, dtype=tensor.dtype, part=part)
            )
        else:
            skipped.append(Skip(name=name, reason=reason))
    if is_tied(tensors) and stays.head:
        skipped.append(Skip(name=HEAD, reason=stays.head))
    return linears, skipped


def part_of(name: str) -> Part:
    """The part of the model that a matrix is, by its name."""
    last = name.rpartition(".")[2]
    if last in EMBEDDINGS:
        return Part.EMBEDDING
    return Part.HEAD if last in HEADS else Part.LAYERS


def _reason(name: str, tensor: SourceTensor, part: Part) -> str | None:
    """The reason why this matrix stays, whatever the scheme; None where it may be quantised."""
    if part is Part.LAYERS and name.rpartition(".")[2] not in COLUMN | ROW:
        return "not known as a linear layer"
    if "visual" in name or "vision" in name:
        return "part of the vision tower"
    if tensor.dtype not in forms.FLOATS:
        return f"its numbers are {tensor.dtype}"
    return None


def partners(name: str) -> tuple[str, ...]:
    """Names of the layers that engines join with this one."""
    prefix, dot, last = name.rpartition(".")
    return tuple(
        f"{prefix}{dot}{other}"
        for group in FUSED
        if last in group
        for other in group
        if other != last
    )
