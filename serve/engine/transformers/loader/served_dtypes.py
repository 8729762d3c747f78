"""The weights that are really in memory: bytes by type, checked against what config.json declares.

Other servers have answered in bfloat16 where int8 was asked for, and said nothing. Here a layer
that is not what the checkpoint's configuration declares ends the start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from serve.engine.transformers.layers.fused_linear import Part
from serve.engine.transformers.layers.packed_linear import PackedEmbedding
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme
from serve.errors import StartupError


def held(model: nn.Module) -> Mapping[str, Mapping[str, int]]:
    """Bytes by kind of layer and type: ``{"PackedLinear": {"int8": ..}}``. Tied ones once."""
    kinds: dict[str, Counter[str]] = {}
    seen: set[int] = set()
    for module in model.modules():
        sizes: Counter[str] = Counter()
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                sizes[_name(parameter.dtype)] += parameter.nbytes
        shared = id(getattr(module, "panels", module))
        if isinstance(module, (QuantizedLinear, PackedEmbedding)) and shared not in seen:
            seen.add(shared)
            sizes.update(module.stored_bytes())
        if sizes:
            kinds.setdefault(type(module).__name__, Counter()).update(sizes)
    return kinds


def resident_bytes(model: nn.Module) -> int:
    """Bytes of all weights, scales and biases."""
    return sum(sum(types.values()) for types in held(model).values())


def num_parameters(model: nn.Module) -> int:
    """Numbers that the model has, however they are stored; scales do not count, tied ones once."""
    total = sum(parameter.numel() for parameter in model.parameters())
    seen: set[int] = set()
    for module in model.modules():
        if isinstance(module, QuantizedLinear):
            size = module.in_features * module.out_features
        elif isinstance(module, PackedEmbedding):
            size = module.num_embeddings * module.embedding_dim
        else:
            continue
        shared = id(getattr(module, "panels", module))
        total += 0 if shared in seen else size
        seen.add(shared)
    return total


def describe(model: nn.Module, dtype: torch.dtype) -> str:
    """The type for banner and metrics: ``bfloat16``, or ``int4 (W4A8), int8 (W8A8), bfloat16``.

    Args:
        model: as it is served.
        dtype: of what is not quantised.
    """
    weights: Counter[str] = Counter()
    for _, module in _linears(model):
        if isinstance(module, QuantizedLinear):
            weights[module.scheme] += module.in_features * module.out_features
    return ", ".join([*(scheme for scheme, _ in weights.most_common()), _name(dtype)])


def check(model: nn.Module, declared: DeclaredScheme | None) -> None:
    """Compare the layers in memory with what config.json declares.

    Raises:
        StartupError: a layer that should be quantised is not, or the other way round, or none is.
    """
    linears = dict(_linears(model))
    wrong = []
    for name, module in linears.items():
        expected = declared.stored_as(name) if declared and declared.covers(name) else None
        actual = module.stored_as if isinstance(module, QuantizedLinear) else None
        if expected != actual:
            wrong.append(f"{name} is {actual or _type_of(module)}, not {expected or 'as stored'}")
    for name, module in model.named_modules():
        is_packed = isinstance(module, PackedEmbedding)
        if not is_packed and not isinstance(module, nn.Embedding):
            continue
        is_covered = declared is not None and declared.covers_embedding(name)
        if is_packed != is_covered:
            actual = "quantised" if is_packed else _type_of(module)
            wrong.append(f"{name} is {actual}, not {'quantised' if is_covered else 'as stored'}")
    num_quantized = sum(isinstance(module, QuantizedLinear) for module in linears.values())
    if declared and not num_quantized:
        wrong.append("no layer is quantised")
    if wrong:
        scheme = declared.scheme if declared else "none"
        raise StartupError(
            f"The weights in memory are not what config.json says ({scheme}): {len(wrong)} layers "
            f"differ, first {wrong[0]}. Quantise the model anew: python -m quantize."
        )


def _linears(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every linear layer by the name that the checkpoint has for it, whatever computes it."""
    wide = {id(m.whole) for m in model.modules() if isinstance(m, Part)}
    for name, module in model.named_modules():
        if isinstance(module, Part):
            yield name, module.whole
        elif isinstance(module, (nn.Linear, QuantizedLinear)) and id(module) not in wide:
            yield name, module


def _type_of(module: nn.Module) -> str:
    return _name(next(module.parameters()).dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
