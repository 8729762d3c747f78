"""The tensors of a model folder, by the headers of its weight files: type, shape and place.

The one reader of a whole folder's headers. A start reads them once and hands them on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models import folder as model_folder
from models.errors import ModelNotFoundError, ModelRefusedError
from models.rules import safetensors_header
from models.rules.safetensors_header import HeaderFault, TensorEntry

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types of numbers that stand for themselves; all others are whole numbers, or need a scale."""
_PIECE_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor's header entry, and the place of its bytes."""

    entry: TensorEntry
    file: Path
    begin: int

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces.

        Raises:
            OSError: they cannot be read.
        """
        with self.file.open("rb") as stream:
            for begin in range(0, self.entry.num_bytes, _PIECE_BYTES):
                size = min(_PIECE_BYTES, self.entry.num_bytes - begin)
                yield os.pread(stream.fileno(), size, self.begin + begin)

    def is_zero(self) -> bool:
        """Whether it holds nothing but zeros."""
        return not any(any(piece) for piece in self.pieces())

    def equals(self, other: StoredTensor) -> bool:
        """Whether both hold the same bytes. Reads them up to the first piece that differs."""
        mine, theirs = self.entry, other.entry
        if (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
            return False
        return all(a == b for a, b in zip(self.pieces(), other.pieces(), strict=True))


Tensors = Mapping[str, StoredTensor]
"""A folder's tensors by name, in the order in which they lie: file by file, front to back."""


def read(folder: Path) -> Tensors:
    """The tensors of the folder's weight files, as far as those are there.

    Raises:
        ModelRefusedError: a file cannot be read, is no whole safetensors file, or the index is no
            JSON object.
    """
    tensors: dict[str, StoredTensor] = {}
    for name in weight_files(folder):
        file = folder / name
        try:
            entries = safetensors_header.tensors(file)
            size = file.stat().st_size
        except FileNotFoundError:
            continue
        except HeaderFault as fault:
            raise ModelRefusedError(f"{folder.name}/{name} {fault}.") from None
        except OSError as error:
            raise ModelRefusedError(
                f"{folder.name}/{name} cannot be read: {error.strerror or error}."
            ) from None
        # The data fill the file to its end.
        data = size - max((entry.end for entry in entries.values()), default=0)
        for tensor, entry in entries.items():
            tensors[tensor] = StoredTensor(entry, file, data + entry.begin)
    return tensors


def weight_files(folder: Path) -> list[str]:
    """The names of ``models/folder.py``'s list.

    Raises:
        ModelRefusedError: the index is no JSON object.
    """
    try:
        return model_folder.weight_files(folder)
    except ModelNotFoundError:
        raise ModelRefusedError(
            f"{folder.name}/{model_folder.INDEX} is no readable JSON object. Fetch it anew."
        ) from None
