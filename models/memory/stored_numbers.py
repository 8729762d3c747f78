"""The numbers that stored tensors stand for, whatever they are packed into.

From the headers of the weight files and ``quantization_config`` alone, for families whose shape
``shapes.py`` does not know. Where several numbers lie in a word, the bits of one come from the
tensors beside it or from the configuration, which may name others for some layers:

    compressed-tensors     weight_packed  int32; bytes for 4-bit floats
    GPTQ, AWQ              qweight        int32
    bitsandbytes, 4 bits   weight         of any type, its state beside it
    ModelOpt, Quark        weight         bytes for 4-bit floats
    MXFP4 of experts       *_blocks       bytes, by twos

Scales, zero points, orders and shapes are no numbers of the model, and neither is a tied head.
Sources: vLLM 0.32, `model_executor/layers/quantization`, and the parameters that it makes there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from models.errors import UnknownShapeError
from models.memory import shapes
from models.rules.safetensors_header import TensorEntry
from models.tensor_names import EMBEDDINGS, HEADS

_BESIDE = frozenset(
    (
        *("weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx", "weight_format"),
        *("weight_global_scale", "weight_scale_inv", "weight_scale_2", "input_scale"),
        *("input_zero_point", "input_global_scale", "output_scale", "activation_scale"),
        *("q_scale", "k_scale", "v_scale", "scales", "qzeros", "g_idx", "SCB"),
        *("absmax", "quant_map", "nested_absmax", "nested_quant_map"),
    )
)
"""Last words of the names of tensors that say what others mean."""
_BITS_KEYS = ("bits", "w_bit")
_PAIRED_BITS = 4
"""Of numbers that lie in bytes: by twos, for larger ones would fill a byte each."""
_WORD_BITS = 32


def of_model(config: Mapping[str, Any], tensors: Mapping[str, TensorEntry]) -> int:
    """Numbers of the model by its configuration where that tells them, else as they are stored.

    The arguments are those of ``count``.
    """
    try:
        return shapes.read(config).num_parameters
    except UnknownShapeError:
        return count(config, tensors)


def count(config: Mapping[str, Any], tensors: Mapping[str, TensorEntry]) -> int:
    """Numbers that are stored, each counted once.

    Args:
        config: config.json, settled (models/stored_config.py).
        tensors: of all its weight files, by name.
    """
    table = config.get("quantization_config")
    own = _without_tied_head(config, tensors)
    if not isinstance(table, Mapping):
        return sum(tensors[name].num_elements for name in own)
    return sum(_numbers(name, tensors, table) for name in own)


def _without_tied_head(
    config: Mapping[str, Any], tensors: Mapping[str, TensorEntry]
) -> Collection[str]:
    """Names of tensors, less those of an output head that is the embedding once more."""
    text = config.get("text_config")
    part = text if isinstance(text, Mapping) and "tie_word_embeddings" in text else config
    owners = {name: name.split(".")[:-1] for name in tensors}
    is_tied = part.get("tie_word_embeddings") is True and any(
        word in owner for owner in owners.values() for word in EMBEDDINGS
    )
    return [
        name
        for name, owner in owners.items()
        if not (is_tied and any(word in owner for word in HEADS))
    ]


def _numbers(name: str, tensors: Mapping[str, TensorEntry], table: Mapping[str, Any]) -> int:
    """Numbers that a tensor of a quantised model stands for."""
    entry = tensors[name]
    owner, _, last = name.rpartition(".")
    if last in _BESIDE or ".quant_state." in name or _blocks(name) in tensors:
        return 0
    num_bits = None
    if last == "qweight":
        num_bits = _bits_beside(owner, tensors) or _declared_bits(owner, table)
    elif last == "weight_packed" or (last == "weight" and entry.dtype == "I32"):
        num_bits = _declared_bits(owner, table)
    elif f"{name}.absmax" in tensors or (
        entry.dtype == "U8" and (last == "weight" or last.endswith("_blocks"))
    ):
        num_bits = _PAIRED_BITS
    return entry.num_bytes * 8 // num_bits if num_bits else entry.num_elements


def _blocks(name: str) -> str:
    """The name of the tensor that one of this name would be the scales of."""
    return re.sub("_scales$", "_blocks", name) if name.endswith("_scales") else ""


def _bits_beside(owner: str, tensors: Mapping[str, TensorEntry]) -> int | None:
    """Bits of a layer of GPTQ's or AWQ's: its zero points are as many as its scales, and packed."""
    zeros, scales = tensors.get(f"{owner}.qzeros"), tensors.get(f"{owner}.scales")
    if zeros is None or scales is None or not zeros.shape or not scales.num_elements:
        return None
    return _checked(_WORD_BITS * zeros.num_elements // scales.num_elements)


def _declared_bits(layer: str, table: Mapping[str, Any]) -> int | None:
    """Bits that the configuration has for a layer; None where it has none that can be."""
    groups = [*_groups(table)]
    for targets, num_bits in groups:
        if any(_names(target, layer) for target in targets):
            return num_bits
    if groups:  # by its class, which no name of a tensor tells
        return groups[0][1]
    return next(filter(None, (_checked(table.get(key)) for key in _BITS_KEYS)), None)


def _groups(table: Mapping[str, Any]) -> Iterator[tuple[Collection[object], int]]:
    """Targets and bits of each group of compressed-tensors; those named by a class first."""
    groups = table.get("config_groups")
    found = []
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        num_bits = _checked(weights.get("num_bits")) if isinstance(weights, Mapping) else None
        targets = group.get("targets") if isinstance(group, Mapping) else None
        if num_bits is not None:
            found.append((targets if isinstance(targets, list) else [], num_bits))
    return iter(sorted(found, key=lambda group: "Linear" not in group[0]))


def _names(target: object, layer: str) -> bool:
    if not isinstance(target, str):
        return False
    if not target.startswith("re:"):
        return target == layer
    try:
        return re.match(target[3:], layer) is not None
    except re.error:
        return False


def _checked(num_bits: object) -> int | None:
    """Bits of a number, where several of them fit into a word."""
    if not isinstance(num_bits, int) or isinstance(num_bits, bool):
        return None
    return num_bits if 1 <= num_bits <= _WORD_BITS // 2 else None
