"""The quantised matrices of a folder that is there: from the names and shapes of its tensors.

For a model that was made elsewhere or with other options than today's defaults; of one that is
being made the plan says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models import folder
from models.refs import OtherScheme, QuantScheme
from quantize import registry
from quantize.errors import UnsuitableModelError
from quantize.formats.forms import Form, Linear, Part
from quantize.plan.candidates import part_of
from quantize.protocol import Quantizer, SchemeOptions
from quantize.write import source
from quantize.write.source import SourceTensor

_MARKS = ("weight_scale", "weight.absmax", "SCB")
"""Each is a part of every matrix of some schemes, and of no other."""
_ZERO = "weight_zero_point"


def layers_of(full: Path, quantised: Path) -> tuple[list[Linear], Quantizer]:
    """The quantised matrices of ``quantised``, and what reads them.

    Args:
        full: the folder that it was made from, for shapes and types.
        quantised: a quantised model.

    Raises:
        UnsuitableModelError: a matrix is stored in a form that is none of ours.
        ModelError: a folder is not whole, or its scheme is not known.
    """
    scheme = folder.scheme_of(quantised)
    if scheme is QuantScheme.NONE:
        raise UnsuitableModelError(f"{quantised.name} holds nothing that is quantised.")
    if isinstance(scheme, OtherScheme):
        raise UnsuitableModelError(
            f"{quantised.name} is {scheme}, which another tool made, and is not read here. Measure "
            "it through an engine: python -m benchmarks quality."
        )
    quantizer = registry.quantizer(scheme, SchemeOptions())
    tensors = {tensor.name: tensor for tensor in source.tensors_of(quantised)}
    sources = {tensor.name: tensor for tensor in source.tensors_of(full)}
    names = (
        name.removesuffix(f".{mark}")
        for mark in _MARKS
        for name in tensors
        if name.endswith(f".{mark}")
    )
    linears = [_linear(name, tensors, sources) for name in names]
    for linear in linears:
        for part in quantizer.stored(linear):
            stored = tensors.get(f"{linear.name}.{part.suffix}")
            if stored is None or (stored.dtype, stored.shape) != (part.dtype, part.shape):
                raise UnsuitableModelError(
                    f"{quantised.name}: {linear.name} is not stored as {scheme} is here "
                    f"({part.suffix}). Measure it through an engine: python -m benchmarks quality."
                )
    return linears, quantizer


def _linear(
    name: str, tensors: Mapping[str, SourceTensor], sources: Mapping[str, SourceTensor]
) -> Linear:
    part = part_of(name)
    tied = (key for key in sources if part is Part.HEAD and part_of(_module(key)) is Part.EMBEDDING)
    full = sources.get(f"{name}.weight") or next((sources[key] for key in tied), None)
    if full is None or len(full.shape) != 2:
        raise UnsuitableModelError(f"{name} is quantised, and the full model has no such matrix.")
    num_out, num_in = full.shape
    return Linear(
        name=name,
        num_out=num_out,
        num_in=num_in,
        dtype=full.dtype,
        part=part,
        form=_form(name, num_in, tensors),
    )


def _module(tensor: str) -> str:
    return tensor.removesuffix(".weight")


def _form(name: str, num_in: int, tensors: Mapping[str, SourceTensor]) -> Form:
    """The form that the shapes of packed integers say; others have one form only."""
    packed, scale = tensors.get(f"{name}.weight_packed"), tensors.get(f"{name}.weight_scale")
    if packed is None or scale is None:
        return Form()
    groups = scale.shape[-1]
    return Form(
        num_bits=packed.shape[1] * 32 // num_in,
        group_size=None if groups == 1 else num_in // groups,
        is_symmetric=f"{name}.{_ZERO}" not in tensors,
    )
