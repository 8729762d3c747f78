"""The tensors of a model folder: where each lies, and its bytes.

Read with pread into memory of our own and never mapped: pages of a map count as the process's
memory, and a bad disk block is an error here and a signal there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models import hub_cache, weight_headers
from models.errors import UnstableFileError
from models.weight_headers import Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTensor:
    """One tensor of the model.

    Attributes:
        file: that holds it, beside config.json.
        begin: of its first byte in the file.
    """

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    num_bytes: int


def tensors_of(folder: Path) -> list[SourceTensor]:
    """All tensors, in the order in which they lie: file by file, from front to back.

    Raises:
        ModelRefusedError: a file cannot be read, or is no whole safetensors file.
    """
    return of_headers(weight_headers.read(folder))


def of_headers(tensors: Tensors) -> list[SourceTensor]:
    """The same of headers that are read already."""
    return [
        SourceTensor(
            name=name,
            file=tensor.file.name,
            dtype=tensor.entry.dtype,
            shape=tensor.entry.shape,
            begin=tensor.begin,
            num_bytes=tensor.entry.num_bytes,
        )
        for name, tensor in tensors.items()
    ]


class Files:
    """The open files of one model, read at any place. Use as a context."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder = folder
        self._names = names
        self._open: dict[str, int] = {}
        self._before: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        for name in self._names:
            place = hub_cache.place_of(self._folder / name)
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._open[name] = descriptor
            self._before[name] = _marks(descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def read(self, file: str, begin: int, into: memoryview) -> None:
        """Fill the memory with the file's bytes from ``begin`` on.

        Raises:
            UnstableFileError: the file became shorter.
            OSError: it cannot be read.
        """
        while into:
            num_bytes = os.preadv(self._open[file], [into], begin)
            if not num_bytes:
                raise UnstableFileError(f"{self._folder / file} became shorter; try again.")
            into, begin = into[num_bytes:], begin + num_bytes

    def check(self) -> None:
        """Raises UnstableFileError: a file was written to since it was opened."""
        for name, descriptor in self._open.items():
            if _marks(descriptor) != self._before[name]:
                raise UnstableFileError(
                    f"{self._folder / name} was written to while it was read; try again."
                )


def _marks(descriptor: int) -> tuple[int, int]:
    stat = os.fstat(descriptor)
    return stat.st_size, stat.st_mtime_ns
