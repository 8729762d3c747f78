"""A model folder's files before a weight is read: its JSON, and its weights' headers.

For every engine that loads from a folder.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import stored_config
from models.errors import ModelRefusedError
from models.rules import safetensors_header
from models.rules.safetensors_header import HeaderFault, TensorEntry
from models.stored_config import StoredConfig
from serve.errors import StartupError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The folder's weights by name, as the headers describe them."""

    tensors: Mapping[str, TensorEntry]

    @property
    def total_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self.tensors.values())


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no such file, or something else in it."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def settled(folder: Path, config: Mapping[str, Any]) -> StoredConfig:
    """config.json with what is stored in place of what it says (models/stored_config.py).

    Raises:
        StartupError: the weights' headers or their index cannot be read.
    """
    try:
        return stored_config.settle(folder, config)
    except ModelRefusedError as refusal:
        raise StartupError(str(refusal)) from None
    except OSError as error:
        raise StartupError(f"{folder.name}: the weights cannot be read: {error}") from error


def tell_differences(folder: Path) -> None:
    """Log a line for each difference between config.json and what is stored.

    Raises:
        StartupError: the weights' headers or their index cannot be read.
    """
    for difference in settled(folder, read_json(folder / "config.json") or {}).differences:
        log.warning(
            "config.json and the stored weights differ",
            extra={"model": folder.name, "reason": difference},
        )


def weight_file_names(folder: Path) -> list[str]:
    """The folder's safetensors files that its index names; one where there is no index."""
    index = read_json(folder / "model.safetensors.index.json")
    return sorted(set(index["weight_map"].values())) if index else ["model.safetensors"]


def weight_files(folder: Path) -> WeightFiles:
    """Read the headers of the folder's safetensors files.

    Raises:
        StartupError: there is none, one is cut short, or only other formats are there.
    """
    entries: dict[str, TensorEntry] = {}
    for name in weight_file_names(folder):
        entries |= _entries(folder, name)
    return WeightFiles(tensors=entries)


def _entries(folder: Path, name: str) -> dict[str, TensorEntry]:
    try:
        return safetensors_header.tensors(folder / name)
    except HeaderFault as fault:
        raise StartupError(f"{folder.name}/{name} {fault}.") from None
    except FileNotFoundError:
        raise StartupError(
            f"{folder.name}: {name} is missing. This server loads weights from safetensors only; "
            "other formats can run code when they are read."
        ) from None
    except OSError as error:
        raise StartupError(f"{folder.name}/{name} cannot be read: {error}") from error
