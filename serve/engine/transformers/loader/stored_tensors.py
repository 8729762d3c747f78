"""The tensors of a model folder, read one by one and by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from serve.errors import StartupError


class Tensors:
    """The tensors of a folder's safetensors files, read one by one.

    Raises:
        StartupError: a file is missing or broken.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder = folder
        self.done_bytes = 0
        try:
            files = [safe_open(folder / name, framework="pt") for name in names]
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise StartupError(f"{folder.name}: the weights cannot be read: {error}") from error
        self._files = {name: (file, name) for file in files for name in _names(file)}

    def rename(self, to_model: Callable[[str], str]) -> None:
        """Give every tensor the name that the model has for it."""
        self._files = {to_model(name): stored for name, stored in self._files.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def names(self) -> set[str]:
        return set(self._files)

    def read(self, name: str) -> torch.Tensor:
        """Raises StartupError when the checkpoint has no such tensor, or a broken one."""
        try:
            file, stored = self._files[name]
            tensor: torch.Tensor = file.get_tensor(stored)  # type: ignore[no-untyped-call]
        except KeyError:
            raise StartupError(
                f"{self.folder.name}: 1 weights are missing, {name}, which config.json asks for."
            ) from None
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise StartupError(f"{self.folder.name}: {name} cannot be read: {error}") from error
        self.done_bytes += tensor.nbytes
        return tensor


def _names(file: safe_open) -> list[str]:
    return list(file.keys())  # type: ignore[no-untyped-call]
