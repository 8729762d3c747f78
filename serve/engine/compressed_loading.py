"""The layers of a compressed-tensors checkpoint, from what is stored of each.

Siblings that read the same rows become one layer (``batching/fused_linear.py``) where they are
stored alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from models.refs import QuantScheme
from quantize.packing import unpack
from serve.engine.batching import fused_linear
from serve.engine.batching.int4_linear import Int4Linear
from serve.engine.batching.quantized_linear import Int8Linear, QuantizedLinear
from serve.engine.stored_scheme import Promise
from serve.engine.stored_tensors import Tensors
from serve.errors import StartupError

PARTS = ("weight_packed", "weight", "weight_scale", "weight_shape")
"""What a layer has on disk, beside its bias."""
MARK = "weight_scale"
"""The part that no other layer has."""


def install(
    model: nn.Module,
    names: Sequence[str],
    tensors: Tensors,
    promise: Promise,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Put the layers ``names`` of the checkpoint, a plain one or siblings, in their places.

    Raises:
        StartupError: a part is missing, or is not what the promise says.
    """
    parts = [
        _read(
            name,
            cast("nn.Linear", model.get_submodule(name)),
            tensors,
            promise,
            dtype=dtype,
            device=device,
        )
        for name in names
    ]
    wide = _join(parts) if len(parts) > 1 else None
    if wide is not None:
        widths = [len(part.weight) for part in parts]
        fused_linear.install(model, names, widths, _layer(wide, promise))
        return
    for name, part in zip(names, parts, strict=True):
        model.set_submodule(name, _layer(part, promise))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """A quantised layer as it is on disk: words ``[out, words]``, scales ``[out, groups]``."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None
    in_features: int


def _read(
    name: str,
    module: nn.Linear,
    tensors: Tensors,
    promise: Promise,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> _Stored:
    scale = tensors.take(f"{name}.weight_scale").to(device)
    bias = None if module.bias is None else tensors.take(f"{name}.bias").to(device, dtype)
    part = "weight" if promise.scheme is QuantScheme.INT8 else "weight_packed"
    stored = tensors.take(f"{name}.{part}").to(device)
    expected, per_word = _stored_type(promise.scheme)
    shape = (module.out_features, -(-module.in_features // per_word))
    if stored.dtype is not expected or tuple(stored.shape) != shape or len(scale) != shape[0]:
        raise StartupError(
            f"{tensors.folder.name}: {name}.{part} is {stored.dtype} of {list(stored.shape)}, not "
            f"{expected} of {list(shape)} as config.json says of {promise.scheme}."
        )
    if promise.scheme is QuantScheme.INT4 and (
        module.in_features % (8 * scale.shape[1] or 1) or module.in_features % scale.shape[1]
    ):
        raise StartupError(
            f"{tensors.folder.name}: {name} has {scale.shape[1]} scales for "
            f"{module.in_features} inputs, which they do not divide in whole words."
        )
    return _Stored(weight=stored, scale=scale, bias=bias, in_features=module.in_features)


def _join(parts: Sequence[_Stored]) -> _Stored | None:
    """One layer of all their outputs; None where they do not read the same rows in the same way."""
    first = parts[0]
    biases = [part.bias for part in parts if part.bias is not None]
    is_alike = all(
        (part.in_features, part.scale.shape[1:]) == (first.in_features, first.scale.shape[1:])
        for part in parts
    )
    if not is_alike or len(biases) not in (0, len(parts)):
        return None
    return _Stored(
        weight=torch.cat([part.weight for part in parts]),
        scale=torch.cat([part.scale for part in parts]),
        bias=torch.cat(biases) if biases else None,
        in_features=first.in_features,
    )


def _layer(stored: _Stored, promise: Promise) -> QuantizedLinear:
    bias = None if stored.bias is None else nn.Parameter(stored.bias, requires_grad=False)
    if promise.scheme is QuantScheme.INT4:
        return Int4Linear(stored.weight, stored.scale, bias)
    is_w8a8 = promise.scheme is QuantScheme.INT8
    weight = stored.weight if is_w8a8 else unpack(stored.weight, 8)[:, : stored.in_features]
    return Int8Linear(weight, stored.scale, bias, quantizes_input=is_w8a8)


def _stored_type(scheme: QuantScheme) -> tuple[torch.dtype, int]:
    """Type of a stored word, and weights in it."""
    return {
        QuantScheme.INT8: (torch.int8, 1),
        QuantScheme.INT8_WEIGHT_ONLY: (torch.int32, 4),
        QuantScheme.INT4: (torch.int32, 8),
    }[scheme]
