"""Checks of a LoRA adapter: what its folder holds, and whether it fits a model.

An adapter is a folder as PEFT writes it: adapter_config.json and adapter_model.safetensors. The
folder obeys models/policy.py like a model's; here stands what only adapters have. Every key of
the configuration is known by name: one that would change what the adapter means is refused unless
it asks for nothing, and so is one that nobody here has heard of. The paths that it names
(``base_model_name_or_path``) are never followed. No torch: headers and JSON only.

Format: the checkpoint format page of PEFT's documentation. For each adapted linear layer M there
are ``base_model.model.M.lora_A.weight`` (rank, in) and ``base_model.model.M.lora_B.weight``
(out, rank), and the layer computes ``W x + scale * B A x``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import plain_file, policy
from models.errors import ModelNotFoundError, ModelRefusedError
from models.rules import config_rules, safetensors_header
from models.rules.content import MAX_CONFIG_BYTES
from models.rules.refusals import Refusal
from models.rules.safetensors_header import TensorEntry

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
MAX_RANK = 512
"""The highest rank that vLLM takes."""

_PREFIX = "base_model.model."
_SIDES = {".lora_A.weight": "A", ".lora_B.weight": "B"}
_LAYER = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_DTYPES = frozenset({"F32", "F16", "BF16"})
_NOT_LINEAR = frozenset({"embed_tokens", "lm_head"})

HARMLESS = frozenset(
    {
        *("base_model_name_or_path", "revision", "peft_version", "task_type", "inference_mode"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
        *("lora_dropout", "megatron_core", "qalora_group_size", "eva_config", "use_rslora"),
    }
)
"""Keys of training, or about which layers were adapted: the tensors themselves show that."""

REFUSED = {
    "use_dora": "DoRA is not supported",
    "modules_to_save": "it replaces whole layers of the model; only LoRA pairs are supported",
    "trainable_token_indices": "it replaces rows of the embedding",
    "layer_replication": "it changes the model's layers",
    "fan_in_fan_out": "transposed weights are not supported",
    "lora_bias": "LoRA with a bias is not supported",
    "use_qalora": "QALoRA is not supported",
    "use_bdlora": "block-diagonal LoRA is not supported",
    "alora_invocation_tokens": "activated LoRA is not supported",
    "target_parameters": "parameters that are not linear layers are not supported",
    "megatron_config": "it is for another framework",
    "auto_mapping": "it names code to import; delete the key",
    **config_rules.REFUSED_KEYS,
}
"""Key → reason. Each may be there with a value that asks for nothing: null, false or empty."""

_PLAIN_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica", "lora_ga"})
"""Ways to initialise that leave the model's own weights as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter that passed: what its folder says of it.

    Attributes:
        rank: the highest one of its layers.
        tensors: of adapter_model.safetensors, by name.
    """

    path: Path
    rank: int
    tensors: Mapping[str, TensorEntry]


def read(folder: Path) -> Adapter:
    """Let an adapter's folder pass, or say why not.

    Raises:
        ModelNotFoundError: it is no adapter's folder, or cannot be read.
        ModelRefusedError: it breaks a rule; the message has the first few breaches.
    """
    for name in plain_file.absent(folder, (CONFIG, WEIGHTS)):
        raise ModelNotFoundError(
            f"the adapter {folder} has no {name}: a folder as PEFT's save_pretrained() writes it "
            "is needed, in safetensors."
        )
    try:
        refusals = [
            refusal
            for refusal in policy.inspect(folder)
            if (refusal.file, refusal.rule) != (CONFIG, "adapter")  # models are refused for it
        ]
        if not refusals:
            config = _config(folder / CONFIG)
            refusals = [Refusal(CONFIG, "adapter", fault) for fault in _faults(config)]
        if not refusals:
            tensors = safetensors_header.tensors(folder / WEIGHTS)
            faults = _tensor_faults(tensors, config)
            refusals = [Refusal(WEIGHTS, "adapter", fault) for fault in faults]
    except OSError as error:
        raise ModelNotFoundError(
            f"the adapter {folder} cannot be read: {error.strerror or error}"
        ) from None
    if refusals:
        shown = "\n".join(f"  {refusal}" for refusal in refusals[: policy.MAX_SHOWN])
        raise ModelRefusedError(f"the adapter {folder} is refused:\n{shown}")
    return Adapter(path=folder, rank=max(_ranks(config)), tensors=tensors)


def misfit(adapter: Adapter, weights: Mapping[str, TensorEntry]) -> str | None:
    """The reason why the adapter does not fit a model of these weights, or None.

    Where the weights are packed (NF4, INT4) only their number is compared.
    """
    for layer, pair in sorted(_pairs(adapter.tensors).items()):
        num_in, num_out = adapter.tensors[pair["A"]].shape[1], adapter.tensors[pair["B"]].shape[0]
        claim = f"is for a layer of {num_in:,} inputs and {num_out:,} outputs"
        plain, packed = weights.get(f"{layer}.weight"), weights.get(f"{layer}.weight_packed")
        if plain is None and packed is None:
            return f"{pair['A']} is for the layer {layer}, which this model does not have"
        if packed is not None or plain.dtype == "U8":  # type: ignore[union-attr]
            entry = packed or plain
            if entry is not None and not _holds(entry, num_in, num_out):
                return f"{pair['A']} {claim}, which the model's packed layer is not"
        elif plain is not None and plain.shape != (num_out, num_in):
            shape = " x ".join(f"{size:,}" for size in plain.shape)
            return f"{pair['A']} {claim}; the model's weight (outputs x inputs) is {shape}"
    return None


def _holds(packed: TensorEntry, num_in: int, num_out: int) -> bool:
    """Whether words of packed 4- or 8-bit weights could be of a layer of that size."""
    bits = math.prod(packed.shape) * (8 if packed.dtype == "U8" else 32)
    return bits in {4 * num_in * num_out, 8 * num_in * num_out}


def _config(path: Path) -> dict[str, Any]:
    """The configuration; empty, which lacks all that is needed, where it is not to be read."""
    try:
        raw = plain_file.read(path, MAX_CONFIG_BYTES)
        document = json.loads(raw, object_pairs_hook=_once)
    except (plain_file.TooLargeError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are each there once: readers differ in which of two they take."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is repeated")
    return dict(pairs)


def _faults(config: Mapping[str, Any]) -> Iterator[str]:
    """The faults of a configuration, key by key."""
    if not config:
        yield (
            "it is not a JSON object of keys that are each there once, of at most "
            f"{MAX_CONFIG_BYTES >> 20} MiB"
        )
        return
    if config.get("peft_type") != "LORA":
        yield f"its peft_type is {_shown(config.get('peft_type'))}; only LORA is supported"
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        yield f"its task_type is {_shown(config['task_type'])}; only CAUSAL_LM is served"
    if not _is_rank(config.get("r")):
        yield f"its rank r is {_shown(config.get('r'))}: 1 to {MAX_RANK} are supported"
    if not _is_alpha(config.get("lora_alpha")):
        yield f"its lora_alpha is {_shown(config.get('lora_alpha'))}, which is no usable number"
    if not isinstance(config.get("target_modules"), str | list):
        yield "its target_modules are missing"
    if type(config.get("use_rslora", False)) is not bool:
        yield f"its use_rslora is {_shown(config['use_rslora'])}, neither true nor false"
    if config.get("bias", "none") != "none":
        yield f"its bias is {_shown(config['bias'])}; only none is supported"
    init = config.get("init_lora_weights", True)
    if not (isinstance(init, bool | None) or (isinstance(init, str) and init in _PLAIN_INITS)):
        yield f"its init_lora_weights {_shown(init)} changes the model's own weights"
    yield from _pattern_faults(config)
    yield from _unknown_keys(config)


def _pattern_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Patterns are regular expressions in PEFT and vLLM; only those that are plain names pass."""
    for key, is_value in (("rank_pattern", _is_rank), ("alpha_pattern", _is_alpha)):
        pattern = config.get(key) or {}
        if not isinstance(pattern, dict):
            yield f"its {key} is no object"
            continue
        for name, value in pattern.items():
            if not name.replace(".", "_").isidentifier():
                yield f"its {key} has {_shown(name)}, which is no plain name of a module"
            elif not is_value(value):
                yield f"its {key} gives {name[:60]} the value {_shown(value)}"


def _unknown_keys(config: Mapping[str, Any]) -> Iterator[str]:
    checked = {
        *("peft_type", "r", "lora_alpha", "bias", "init_lora_weights"),
        *("rank_pattern", "alpha_pattern"),
    }
    for key, value in config.items():
        if key in HARMLESS or key in checked or value in (None, False, [], {}, ""):
            continue
        yield f"its key {_shown(key)} is refused: {REFUSED.get(key, 'it is not known here')}"


def _tensor_faults(tensors: Mapping[str, TensorEntry], config: Mapping[str, Any]) -> Iterator[str]:
    """The faults of the tensors, each on its own and in pairs."""
    if not tensors:
        yield "it holds no tensors"
    for name, entry in tensors.items():
        layer, side = _layer_and_side(name)
        if side is None:
            yield f"{name[:120]!r} is not the A or B of a LoRA pair"
        elif layer.rpartition(".")[2] in _NOT_LINEAR:
            yield f"{name[:120]} adapts an embedding; only layers in between are supported"
        elif entry.dtype not in _DTYPES or not _is_matrix(entry):
            yield f"{name[:120]} is {entry.dtype} of shape {_shown(entry.shape)}, no float matrix"
        else:
            rank, want = entry.shape[0 if side == "A" else 1], _rank_of(layer, config)
            if rank != want:
                yield f"{name[:120]} is of rank {rank}, and {CONFIG} says {want}"
    for layer, pair in _pairs(tensors).items():
        if len(pair) < 2:
            yield f"{next(iter(pair.values()))[:120]} lacks its other half ({layer[-60:]})"


def _pairs(tensors: Mapping[str, TensorEntry]) -> dict[str, dict[str, str]]:
    """Names of tensors by layer, and by side, A or B."""
    pairs: dict[str, dict[str, str]] = {}
    for name in tensors:
        layer, side = _layer_and_side(name)
        if side is not None:
            pairs.setdefault(layer, {})[side] = name
    return pairs


def _layer_and_side(name: str) -> tuple[str, str | None]:
    for suffix, side in _SIDES.items():
        if name.startswith(_PREFIX) and name.endswith(suffix):
            layer = name.removeprefix(_PREFIX).removesuffix(suffix)
            return layer, side if _LAYER.fullmatch(layer) else None
    return name, None


def _rank_of(layer: str, config: Mapping[str, Any]) -> int:
    """The first pattern that names the layer, or the end of its name, else ``r``: PEFT's rule."""
    for name, rank in (config.get("rank_pattern") or {}).items():
        if layer == name or layer.endswith("." + name):
            return int(rank)
    return int(config["r"])


def _ranks(config: Mapping[str, Any]) -> list[int]:
    return [config["r"], *(config.get("rank_pattern") or {}).values()]


def _is_matrix(entry: TensorEntry) -> bool:
    return len(entry.shape) == 2 and all(type(size) is int and size > 0 for size in entry.shape)


def _is_rank(value: object) -> bool:
    return type(value) is int and 1 <= value <= MAX_RANK


def _is_alpha(value: object) -> bool:
    return type(value) in {int, float} and 0 < value < 1e6  # type: ignore[operator]


def _shown(value: object) -> str:
    return repr(value)[:60]
