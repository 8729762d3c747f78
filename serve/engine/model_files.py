"""A model folder's files before a weight is read: its JSON, and its weights' headers.

For every engine that loads from a folder. A start reads the headers once, and hands them on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import folder as model_folder
from models import stored_config
from models.errors import ModelError
from models.rules.safetensors_header import TensorEntry
from models.weight_headers import Tensors
from serve.errors import StartupError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The folder's weights by name, as the headers describe them."""

    names: tuple[str, ...]
    tensors: Mapping[str, TensorEntry]

    @property
    def total_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self.tensors.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model folder as it is before a weight is read.

    Attributes:
        folder: of the model.
        config: config.json with what is stored in place of what it says (models/stored_config.py).
        differences: one sentence for each difference between the two.
        tensors: headers by name.
        files: the files of weights, summed up.
    """

    folder: Path
    config: Mapping[str, Any]
    differences: tuple[str, ...]
    tensors: Tensors
    files: WeightFiles

    @property
    def is_quantized(self) -> bool:
        """Whether config.json says that the weights are quantised."""
        return self.config.get("quantization_config") is not None

    def tell_differences(self) -> None:
        """Log a line for each difference between config.json and what is stored."""
        for difference in self.differences:
            log.warning(
                "config.json and the stored weights differ",
                extra={"model": self.folder.name, "reason": difference},
            )


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no such file, or something else in it."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read(folder: Path, config: Mapping[str, Any] | None = None) -> Checkpoint:
    """The folder's configuration, settled by the headers of its weight files.

    Args:
        folder: of the model.
        config: its config.json, for whoever has read it already.

    Raises:
        StartupError: there is no config.json, a weight file is missing or broken, or the two
            contradict each other in a way that nothing settles.
    """
    plain = read_json(folder / "config.json") if config is None else config
    if plain is None:
        raise StartupError(f"{folder.name}: no readable config.json, so this is no model folder.")
    try:
        names = model_folder.weight_files(folder)
        absent = [name for name in names if not (folder / name).exists()]
        settled = stored_config.settle(folder, plain)
    except ModelError as refusal:
        raise StartupError(str(refusal)) from None
    except OSError as error:
        raise StartupError(f"{folder.name}: the weights cannot be read: {error}") from error
    if absent:
        raise StartupError(
            f"{folder.name}: {absent[0]} is missing. This server loads weights from safetensors "
            "only; other formats can run code when they are read."
        )
    entries = {name: tensor.entry for name, tensor in settled.tensors.items()}
    return Checkpoint(
        folder=folder,
        config=settled.config,
        differences=settled.differences,
        tensors=settled.tensors,
        files=WeightFiles(names=tuple(names), tensors=entries),
    )
