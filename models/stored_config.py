"""A model's configuration, settled by the tensors that are stored beside it.

config.json is written by hand and by many tools, and the tensors are what was trained. Where the
two differ, what is stored wins, and the difference is told in a sentence. Looked at are

- the output head: a head that is stored with other numbers than the embedding's is the model's own,
  also where config.json ties the two;
- the type of the numbers: none stated, a wider one than is stored (which costs memory and adds
  nothing), or the other one of 16 bits (which loses numbers). A narrower one than is stored is
  kept: it is how the model's makers run it.

Refused are values that no model can be computed with (models/config_values.py), and weights that
are stored as whole numbers, or with a scale, where config.json does not say so: read as they are
they would be another model's. Shapes are compared in quantize/described_model.py, which knows the
layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import config_values, weight_headers
from models.errors import ModelRefusedError
from models.tensor_names import EMBEDDINGS, HEADS, parts_of
from models.weight_headers import Tensors

_NAMES = {"F64": "float32", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_STATED = frozenset({"float32", "float16", "bfloat16"})
_WEIGHTS = (".weight", ".weight_packed", ".qweight")
_DECLARATIONS = ("quantization_config", "compression_config")


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """config.json with what is stored in place of what it says.

    Attributes:
        differences: one sentence for each that a user should know of.
        tensors: what was read to know it, for whoever asks next.
    """

    config: Mapping[str, Any]
    differences: tuple[str, ...] = ()
    tensors: Tensors = field(default_factory=dict)


def settle(folder: Path, config: Mapping[str, Any]) -> StoredConfig:
    """The configuration of a folder, settled; as it is where the folder holds no weights.

    Args:
        config: the folder's config.json.

    Raises:
        ModelRefusedError: a weight file or the index cannot be read, config.json has a value that
            no model can be computed with, or weights are quantised and it does not say so.
    """
    fault = config_values.fault(config)
    if fault is not None:
        raise ModelRefusedError(
            f"{folder.name}: {fault}. Correct config.json, or fetch the model anew."
        )
    tensors = weight_headers.read(folder)
    _refuse_undeclared(folder, config, tensors)
    settled = dict(config)
    if not settled.get("text_config", True):  # says nothing: the keys stand at the top
        del settled["text_config"]
    try:
        differences = [_settle_head(settled, tensors), _settle_dtype(settled, tensors)]
    except OSError as error:
        raise ModelRefusedError(
            f"{folder.name}: the weights cannot be read: {error.strerror or error}."
        ) from None
    return StoredConfig(settled, tuple(filter(None, differences)), tensors)


def stated_dtype(config: Mapping[str, Any]) -> str | None:
    """The type of the numbers that config.json states; None where it states none that is known."""
    for place in reversed(_parts(config)):
        for key in ("dtype", "torch_dtype"):
            name = str(place.get(key)).removeprefix("torch.")
            if name in _STATED:
                return name
    return None


def _settle_dtype(config: dict[str, Any], tensors: Tensors) -> str | None:
    stated, stored = stated_dtype(config), _stored_dtype(tensors)
    if stored is None or stated == stored or (stored == "float32" and stated is not None):
        return None
    _state(config, "dtype", stored)
    if stated is None:
        return None  # it says nothing that could be wrong
    return (
        f"config.json says {stated} and the weights are stored in {stored}, which is taken; "
        f"--dtype {stated} takes the other."
    )


def _settle_head(config: dict[str, Any], tensors: Tensors) -> str | None:
    is_tied = any(part.get("tie_word_embeddings") for part in _parts(config))
    if config.get("tie_word_embeddings", False) is None:  # as absent: transformers takes no null
        del config["tie_word_embeddings"]
    if not is_tied and config.get("tie_word_embeddings") is False:
        return None  # as stored: nothing to compare
    head, embedding = parts_of(HEADS, tensors), parts_of(EMBEDDINGS, tensors)
    if all(
        part in embedding and tensors[name].equals(tensors[embedding[part]])
        for part, name in head.items()
    ):
        return None
    _state(config, "tie_word_embeddings", False)
    if not is_tied:
        return None
    return (
        "config.json ties the output head to the embedding, and a head of its own with other "
        "numbers is stored, which is taken."
    )


def _state(config: dict[str, Any], key: str, value: object) -> None:
    """Write a key where readers look for it: at the top, and in the language model's part."""
    config[key] = value
    if key == "dtype":
        config.pop("torch_dtype", None)
    if isinstance(text := config.get("text_config"), Mapping):
        kept = {name: old for name, old in text.items() if name != "torch_dtype" or key != "dtype"}
        config["text_config"] = kept | {key: value}


def _parts(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The whole, and its part on the language model."""
    text = config.get("text_config")
    return [config, text] if isinstance(text, Mapping) else [config]


def _stored_dtype(tensors: Tensors) -> str | None:
    """The type of most bytes of weights that are not quantised."""
    sizes: dict[str, int] = {}
    for name, tensor in tensors.items():
        dtype = _NAMES.get(tensor.entry.dtype)
        if dtype is not None and name.endswith(".weight"):
            sizes[dtype] = sizes.get(dtype, 0) + tensor.entry.num_bytes
    return max(sizes, key=lambda dtype: sizes[dtype]) if sizes else None


def _refuse_undeclared(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> None:
    if any(part.get(key) is not None for part in _parts(config) for key in _DECLARATIONS):
        return
    for name, tensor in tensors.items():
        if name.endswith(_WEIGHTS) and tensor.entry.dtype not in weight_headers.FLOATS:
            raise ModelRefusedError(
                f"{folder.name}: {name} is stored quantised, as {tensor.entry.dtype}, and "
                "config.json has no quantization_config that says how. Fetch the model anew, or "
                "take the full weights."
            )
