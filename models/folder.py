"""Facts about a model folder: whether it is whole, its size and its quantisation.

Reads names and JSON only. Whether the folder is allowed is models/policy.py's question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import hub_cache, other_formats, plain_file
from models.errors import ModelNotFoundError, UnknownSchemeError
from models.refs import OtherScheme, QuantScheme, Scheme

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
MAX_BYTES = 32 << 20
"""Most bytes of config.json or an index that are read here; models/policy.py is stricter."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")


def missing(folder: Path) -> list[str]:
    """The files that this folder lacks to be a whole model; empty when it is one.

    Raises:
        ModelNotFoundError: its index of shards cannot be read.
    """
    lacks = plain_file.absent(folder, [CONFIG])
    absent = plain_file.absent(folder, weight_files(folder))
    lacks += [WEIGHTS + _other_weights(folder)] if absent == [WEIGHTS] else absent
    if not any((folder / name).is_file() for name in TOKENIZERS):
        lacks.append("a tokenizer (" + " or ".join(TOKENIZERS) + ")")
    return lacks


def weight_files(folder: Path) -> list[str]:
    """Names of the files that hold the weights: the shards of the index, or the one file.

    What else lies beside them (another framework's copy, a shard that no index names) is no part of
    the model. Whether they are there is not looked at.

    Raises:
        ModelNotFoundError: the index cannot be read.
    """
    if not (folder / INDEX).is_file():
        return [WEIGHTS]
    shards = _read_json(folder / INDEX).get("weight_map")
    return sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []


def weights_bytes(folder: Path) -> int:
    """Bytes of the weight files that are there.

    Raises:
        ModelNotFoundError: the index of shards cannot be read.
    """
    files = (folder / name for name in weight_files(folder))
    return sum(file.stat().st_size for file in files if file.is_file())


def stray_weights(folder: Path) -> list[str]:
    """Weight files beside the one that is the model, in a folder without an index of shards."""
    if (folder / INDEX).is_file():
        return []
    files = folder.glob("[!.]*.safetensors")
    return sorted(path.name for path in files if path.name != WEIGHTS and path.is_file())


def _other_weights(folder: Path) -> str:
    """Advice on weights under other names than the one that is read."""
    others = stray_weights(folder)
    if not others:
        return ""
    return f" ({others[0]} is there: rename it, or bring {INDEX}, which lists the shards)"


def size_bytes(folder: Path) -> int:
    """Bytes of the plain files directly in the folder."""
    places = map(hub_cache.place_of, folder.iterdir())
    return sum(path.stat().st_size for path in places if path.is_file() and not path.is_symlink())


def scheme_of(folder: Path) -> Scheme:
    """The way the weights are stored, from ``quantization_config`` in config.json.

    Raises:
        ModelNotFoundError: config.json cannot be read.
        UnknownSchemeError: it names a scheme that no engine here reads; with what to do.
    """
    config = _read_json(folder / CONFIG)
    quant = config.get("quantization_config")
    if quant is None:
        return QuantScheme.NONE
    scheme = _scheme(quant) or other_formats.scheme(quant) if isinstance(quant, dict) else None
    if scheme is None:
        method = quant.get("quant_method") if isinstance(quant, dict) else quant
        known = ", ".join((*QuantScheme, *OtherScheme))
        raise UnknownSchemeError(
            f"the model folder {folder} is quantised in a way that is not supported "
            f"(quantization_config: {method!r}). Known: {known}. Take the full weights, and "
            "--quant int4 or int8."
        )
    return scheme


def _scheme(quant: Mapping[str, Any]) -> QuantScheme | None:
    match quant:
        case {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 0 | 0.0}:
            return QuantScheme.BNB_INT8
        case {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}:
            return None if quant.get("bnb_4bit_use_double_quant") else QuantScheme.NF4
        case {"quant_method": "compressed-tensors", "config_groups": dict(groups)}:
            return _mixed({_group_scheme(group) for group in groups.values()})
    return None


def _mixed(schemes: set[QuantScheme | None]) -> QuantScheme | None:
    """The scheme of a checkpoint of these layers: beside 4-bit layers some may have 8 bits."""
    if schemes in ({QuantScheme.INT4, QuantScheme.INT8}, {QuantScheme.INT4}):
        return QuantScheme.INT4
    return schemes.pop() if len(schemes) == 1 else None


def _group_scheme(group: object) -> QuantScheme | None:
    match group:
        case {"weights": {"num_bits": 8, "type": "float"}}:
            return QuantScheme.FP8
        case {"weights": {"num_bits": 8, "type": "int"}, "input_activations": dict()}:
            return QuantScheme.INT8_W8A8
        case {"weights": {"num_bits": 8, "type": "int", "strategy": "group"}}:
            return QuantScheme.INT8
        case {"weights": {"num_bits": 8, "type": "int"}}:
            return QuantScheme.INT8_WEIGHT_ONLY
        case {"weights": {"num_bits": 4, "type": "int"}}:
            return QuantScheme.INT4
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(plain_file.read(path, MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ModelNotFoundError(f"{path} is not a readable JSON object.")
    return document
