"""A model's configuration, settled by the tensors that are stored beside it.

config.json is written by hand and by many tools, and the tensors are what was trained. Where the
two differ, what is stored wins, and the difference is told in a sentence. Looked at are

- the output head: a head that is stored with other numbers than the embedding's is the model's own,
  also where config.json ties the two;
- the type of the numbers: none stated, a wider one than is stored (which costs memory and adds
  nothing), or the other one of 16 bits (which loses numbers). A narrower one than is stored is
  kept: it is how the model's makers run it.

Shapes are not looked at: an engine refuses weights that do not fit its layers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import folder as model_folder
from models.errors import ModelRefusedError
from models.rules import safetensors_header, strict_json
from models.rules.safetensors_header import HeaderFault, TensorEntry
from models.rules.strict_json import JsonFault

EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in")
HEADS = ("lm_head", "embed_out")
_NAMES = {"F64": "float32", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_STATED = frozenset({"float32", "float16", "bfloat16"})
_PIECE_BYTES = 1 << 22
_MAX_INDEX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor's header entry, and the place of its bytes."""

    entry: TensorEntry
    file: Path
    begin: int


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """config.json with what is stored in place of what it says.

    Attributes:
        differences: one sentence for each that a user should know of.
    """

    config: Mapping[str, Any]
    differences: tuple[str, ...] = ()


def settle(folder: Path, config: Mapping[str, Any]) -> StoredConfig:
    """The configuration of a folder, settled; as it is where the folder holds no safetensors files.

    Args:
        config: the folder's config.json.

    Raises:
        ModelRefusedError: a file cannot be read, is no whole safetensors file, or the index is not
            JSON.
    """
    tensors = _tensors(folder)
    settled = dict(config)
    differences = [_settle_head(settled, tensors), _settle_dtype(settled, tensors)]
    return StoredConfig(settled, tuple(filter(None, differences)))


def stated_dtype(config: Mapping[str, Any]) -> str | None:
    """The type of the numbers that config.json states; None where it states none that is known."""
    text = config.get("text_config")
    places = [text] if isinstance(text, Mapping) else []
    for place in (*places, config):
        for key in ("dtype", "torch_dtype"):
            name = str(place.get(key)).removeprefix("torch.")
            if name in _STATED:
                return name
    return None


def _settle_dtype(config: dict[str, Any], tensors: Mapping[str, StoredTensor]) -> str | None:
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


def _settle_head(config: dict[str, Any], tensors: Mapping[str, StoredTensor]) -> str | None:
    head = _find(tensors, HEADS)
    if head is None:
        return None
    embedding = _find(tensors, EMBEDDINGS)
    is_tied = config.get("tie_word_embeddings")
    if embedding is not None and _are_equal(head, embedding):
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


def _stored_dtype(tensors: Mapping[str, StoredTensor]) -> str | None:
    """The type of most bytes of weights that are not quantised."""
    sizes: dict[str, int] = {}
    for name, tensor in tensors.items():
        dtype = _NAMES.get(tensor.entry.dtype)
        if dtype is not None and name.endswith(".weight"):
            sizes[dtype] = sizes.get(dtype, 0) + tensor.entry.num_bytes
    return max(sizes, key=lambda dtype: sizes[dtype]) if sizes else None


def _find(tensors: Mapping[str, StoredTensor], modules: tuple[str, ...]) -> StoredTensor | None:
    """The weight of the first of these modules that is stored in full."""
    ends = tuple(f"{module}.weight" for module in modules)
    for name, tensor in tensors.items():
        if name in ends or name.endswith(tuple(f".{end}" for end in ends)):
            return tensor
    return None


def _are_equal(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two tensors hold the same bytes. Reads them in pieces, to the first that differs."""
    if (one.entry.dtype, one.entry.shape) != (other.entry.dtype, other.entry.shape):
        return False
    with one.file.open("rb") as left, other.file.open("rb") as right:
        for begin in range(0, one.entry.num_bytes, _PIECE_BYTES):
            size = min(_PIECE_BYTES, one.entry.num_bytes - begin)
            pieces = (
                os.pread(left.fileno(), size, one.begin + begin),
                os.pread(right.fileno(), size, other.begin + begin),
            )
            if pieces[0] != pieces[1]:
                return False
    return True


def _tensors(folder: Path) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for file in _weight_files(folder):
        try:
            entries = safetensors_header.tensors(file)
        except HeaderFault as fault:
            raise ModelRefusedError(f"{folder.name}/{file.name} {fault}.") from None
        except OSError as error:
            raise ModelRefusedError(
                f"{folder.name}/{file.name} cannot be read: {error.strerror or error}."
            ) from None
        data = 8 + int.from_bytes(_first_bytes(file), "little")
        for name, entry in entries.items():
            tensors[name] = StoredTensor(entry, file, data + entry.begin)
    return tensors


def _weight_files(folder: Path) -> list[Path]:
    """The files that the index names, as far as they are here; without one, all there are."""
    index = folder / model_folder.INDEX
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        document = strict_json.read(index, max_bytes=_MAX_INDEX_BYTES)
    except JsonFault as fault:
        raise ModelRefusedError(f"{folder.name}/{index.name} {fault}.") from None
    named = document.get("weight_map") if isinstance(document, Mapping) else None
    names = {str(name) for name in named.values()} if isinstance(named, Mapping) else set()
    return [folder / name for name in sorted(names) if (folder / name).is_file()]


def _first_bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(8)
