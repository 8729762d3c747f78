"""The layers of a bitsandbytes checkpoint, from what is stored of each.

nf4 is dequantised by bitsandbytes, tile by tile (``nf4_linear.py``). bnb-int8 without outliers is
8-bit weights with a scale for each row, which bitsandbytes calls SCB, over 127: our own loops
multiply them (``packed_linear.py``), and round activations in blocks of 32 instead of whole rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

from models.refs import QuantScheme
from quantize.formats import bnb
from serve.engine.transformers.layers.nf4_linear import BLOCK, Nf4Linear
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear
from serve.engine.transformers.loader.packed_weights import Integers, as_unsigned
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme
from serve.engine.transformers.loader.stored_tensors import Tensors
from serve.errors import StartupError

_STATE = "weight.quant_state.bitsandbytes__nf4"
PARTS: Mapping[QuantScheme, tuple[str, ...]] = {
    QuantScheme.NF4: ("weight", "weight.absmax", "weight.quant_map", _STATE),
    QuantScheme.BNB_INT8: ("weight", "SCB", "weight_format"),
}
"""Names of a layer's tensors on disk, beside its bias."""
MARKS: Mapping[QuantScheme, str] = {
    QuantScheme.NF4: "weight.absmax",
    QuantScheme.BNB_INT8: "SCB",
}
"""The tensor by which a layer of the scheme is known."""
_LEVELS = 127


def install(
    model: nn.Module,
    names: Sequence[str],
    tensors: Tensors,
    declared: DeclaredScheme,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Put the layers ``names`` of the checkpoint in their places, each by itself.

    Raises:
        StartupError: a part is missing, or is not what the scheme stores.
    """
    for name in names:
        module = cast("nn.Linear", model.get_submodule(name))
        bias = None
        if module.bias is not None:
            stored = tensors.read(f"{name}.bias").to(device, dtype)
            bias = nn.Parameter(stored, requires_grad=False)
        layer = _layer(name, module, bias, tensors, declared.scheme, device=device)
        model.set_submodule(name, layer)


def _layer(
    name: str,
    module: nn.Linear,
    bias: nn.Parameter | None,
    tensors: Tensors,
    scheme: QuantScheme,
    *,
    device: torch.device,
) -> QuantizedLinear:
    parts = {part: tensors.read(f"{name}.{part}") for part in PARTS[scheme]}
    fault = (_nf4_fault if scheme is QuantScheme.NF4 else _int8_fault)(parts, module)
    if fault is not None:
        raise StartupError(
            f"{tensors.folder.name}: {name}.{fault}. Make it anew: "
            f"python -m quantize --scheme {scheme}."
        )
    weight = parts["weight"].to(device)
    if scheme is QuantScheme.BNB_INT8:
        scale = parts["SCB"].to(device) / _LEVELS
        return Integers(bits=8, weight=as_unsigned(weight), scale=scale[:, None]).linear(bias)
    largest = parts["weight.absmax"].to(device)
    return Nf4Linear(weight, largest, bias, in_features=module.in_features)


def _nf4_fault(parts: Mapping[str, torch.Tensor], module: nn.Linear) -> str | None:
    """A difference from nf4 as it is computed here; None where there is none."""
    shape = [module.out_features, module.in_features]
    if module.in_features % BLOCK:
        return f"weight has rows of {module.in_features}, which are no whole blocks of {BLOCK}"
    for part, dtype, num in (
        ("weight", torch.uint8, shape[0] * shape[1] // 2),
        ("weight.absmax", torch.float32, shape[0] * shape[1] // BLOCK),
    ):
        if (fault := _part_fault(parts, part, dtype, num)) is not None:
            return fault
    state = _state(parts[_STATE])
    expected = {"quant_type": "nf4", "blocksize": BLOCK, "shape": shape}
    for key, value in expected.items():
        if state.get(key) != value:
            return f"{_STATE} has the {key} {state.get(key)}, not {value}"
    if not torch.equal(parts["weight.quant_map"], bnb.levels(torch.device("cpu"))):
        return "weight.quant_map has other levels than nf4"
    return None


def _int8_fault(parts: Mapping[str, torch.Tensor], module: nn.Linear) -> str | None:
    """A difference from bnb-int8 as it is computed here; None where there is none."""
    shape = (module.out_features, module.in_features)
    if tuple(parts["weight"].shape) != shape or parts["weight"].dtype is not torch.int8:
        return (
            f"weight is {_type(parts['weight'].dtype)} of {list(parts['weight'].shape)}, not "
            f"int8 of {list(shape)}"
        )
    if int(parts["weight_format"]) != 0:
        return f"weight_format is {int(parts['weight_format'])}, not 0: row by row"
    return _part_fault(parts, "SCB", torch.float32, shape[0])


def _part_fault(
    parts: Mapping[str, torch.Tensor], part: str, dtype: torch.dtype, num: int
) -> str | None:
    tensor = parts[part]
    if tensor.dtype is dtype and tensor.numel() == num:
        return None
    actual, expected = _type(tensor.dtype), _type(dtype)
    return f"{part} is {actual} of {tensor.numel()} numbers, not {expected} of {num}"


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _state(stored: torch.Tensor) -> Mapping[str, Any]:
    """Facts that bitsandbytes wrote of the matrix; empty where they cannot be read."""
    try:
        state = json.loads(bytes(stored.tolist()))
    except (ValueError, TypeError):
        return {}
    return state if isinstance(state, dict) else {}
