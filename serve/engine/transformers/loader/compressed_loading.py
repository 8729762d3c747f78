"""The layers of a compressed-tensors checkpoint, from what is stored of each.

Siblings that read the same rows become one layer (``layers/fused_linear.py``) where they are
stored alike. A head that holds the embedding's very numbers, as ``python -m quantize`` stores those
of a tied model for vLLM's sake, shares the embedding's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from serve.engine.transformers.kernels.panels import BLOCK, Panels
from serve.engine.transformers.layers import fused_linear
from serve.engine.transformers.layers.packed_linear import PackedEmbedding, PackedLinear
from serve.engine.transformers.loader import packed_weights
from serve.engine.transformers.loader.packed_weights import Integers
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme, Form
from serve.engine.transformers.loader.stored_tensors import Tensors
from serve.errors import StartupError

PARTS = ("weight_packed", "weight", "weight_scale", "weight_shape", "weight_zero_point")
"""Names of a layer's tensors on disk, beside its bias."""
MARK = "weight_scale"
"""The tensor by which a quantised layer is known."""
_FACTOR = "embed_scale"
"""A buffer by which an embedding multiplies what it looks up, in transformers' models."""
_PER_WORD = 8
"""Zero points of 4 bits in a 32-bit word."""
_WORD = (torch.int32,)
_FLOATS = (torch.bfloat16, torch.float16, torch.float32)


def install(
    model: nn.Module,
    names: Sequence[str],
    tensors: Tensors,
    declared: DeclaredScheme,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Put the layers ``names`` of the checkpoint, a plain one or siblings, in their places.

    Raises:
        StartupError: a part is missing, or is not what config.json says.
    """
    parts, biases = [], []
    for name in names:
        module = cast("nn.Linear", model.get_submodule(name))
        shape = (module.out_features, module.in_features)
        parts.append(_read(name, shape, tensors, declared.form(name), device))
        if module.bias is not None:
            biases.append(tensors.read(f"{name}.bias").to(device, dtype))
    wide = packed_weights.join(parts) if len(parts) > 1 else None
    if wide is not None and len(biases) in (0, len(parts)):
        bias = torch.cat(biases) if biases else None
        widths = [len(part.weight) for part in parts]
        fused_linear.install(model, names, widths, _layer(names[0], wide, bias, tensors))
        return
    for name, part in zip(names, parts, strict=True):
        bias = (
            biases.pop(0) if cast("nn.Linear", model.get_submodule(name)).bias is not None else None
        )
        model.set_submodule(name, _layer(name, part, bias, tensors))


def install_embedding(
    model: nn.Module,
    name: str,
    tensors: Tensors,
    declared: DeclaredScheme,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Put the embedding ``name`` of the checkpoint in its place.

    Raises:
        StartupError: a part is missing, or is not what config.json says, or the model's embedding
            does more than to look up and to multiply.
    """
    module = cast("nn.Embedding", model.get_submodule(name))
    shape = (module.num_embeddings, module.embedding_dim)
    stored = _read(name, shape, tensors, declared.form(name, is_embedding=True), device)
    others = [key for key, _ in module.named_buffers() if key != _FACTOR]
    if others or shape[1] % BLOCK:
        raise StartupError(
            f"{tensors.folder.name}: {name} is stored quantised, and is a "
            f"{type(module).__name__} of {list(shape)}, which this engine cannot look up so."
        )
    factor = getattr(module, _FACTOR, None)
    model.set_submodule(name, PackedEmbedding(_panels(name, stored, tensors), dtype, factor))


def share_head(model: nn.Module, head: str, embedding: str) -> None:
    """Let the layer ``head`` use the embedding's memory where both hold the same numbers."""
    layer, table = model.get_submodule(head), model.get_submodule(embedding)
    if not (isinstance(layer, PackedLinear) and isinstance(table, PackedEmbedding)):
        return
    head_panels, panels = layer.panels, table.panels
    is_same = torch.equal(head_panels.weight, panels.weight) and torch.equal(
        head_panels.scale, panels.scale
    )
    if is_same:
        model.set_submodule(head, PackedLinear(panels, layer.bias, in_features=layer.in_features))


def _read(
    name: str, shape: tuple[int, int], tensors: Tensors, form: Form | None, device: torch.device
) -> Integers:
    """Read what is stored of a matrix ``[out, in]``."""
    if form is None:
        raise StartupError(
            f"{tensors.folder.name}: {name} is stored quantised, and config.json does not say how."
        )
    num_out, num_in = shape
    group = form.group_size or num_in
    if num_in % group:
        raise StartupError(
            f"{tensors.folder.name}: {name} has {num_in} inputs, which are no whole groups of "
            f"{group} as config.json says."
        )
    if form.is_packed:
        size = (num_out, -(-num_in * form.bits // 32))
        words = _part(f"{name}.weight_packed", tensors, _WORD, size)
        weight = packed_weights.of_words(words.to(device), form.bits, num_in)
    else:
        stored = _part(f"{name}.weight", tensors, (torch.int8,), shape)
        weight = packed_weights.as_unsigned(stored.to(device))
    scale = _part(f"{name}.weight_scale", tensors, _FLOATS, (num_out, num_in // group))
    zeros = None
    if form.has_zeros:
        size = (-(-num_out // _PER_WORD), num_in // group)
        words = _part(f"{name}.weight_zero_point", tensors, _WORD, size)
        zeros = packed_weights.of_zero_words(words.to(device), num_out)
    return Integers(bits=form.bits, weight=weight, scale=scale.to(device), zeros=zeros)


def _part(
    name: str, tensors: Tensors, dtypes: Sequence[torch.dtype], shape: tuple[int, int]
) -> torch.Tensor:
    """A tensor of two dimensions; one of a single column may be stored with one."""
    stored = tensors.read(name)
    if stored.ndim == 1 and shape[1] == 1:
        stored = stored[:, None]
    if stored.dtype not in dtypes or tuple(stored.shape) != shape:
        raise StartupError(
            f"{tensors.folder.name}: {name} is {_type(stored.dtype)} of {list(stored.shape)}, not "
            f"{' or '.join(map(_type, dtypes))} of {list(shape)} as config.json says. Correct "
            "config.json, or make the model anew: python -m quantize."
        )
    return stored


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _layer(
    name: str, stored: Integers, bias: torch.Tensor | None, tensors: Tensors
) -> PackedLinear:
    parameter = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return PackedLinear(
        _panels(name, stored, tensors), parameter, in_features=stored.weight.shape[1]
    )


def _panels(name: str, stored: Integers, tensors: Tensors) -> Panels:
    try:
        return stored.panels()
    except ValueError as error:
        raise StartupError(f"{tensors.folder.name}: {name}: {error}.") from None
