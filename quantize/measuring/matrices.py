"""The tensors of a folder as an engine multiplies with them: float32, some rows at a time.

A matrix is either stored as it is, or in the parts that a scheme says (``Quantizer.stored``); what
the parts mean is the scheme's own ``dequantise``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import torch

from models import folder as model_folder
from quantize.errors import QuantizeError
from quantize.formats.forms import ROW_UNIT, TORCH, Linear, StoredTensor
from quantize.protocol import Quantizer
from quantize.write import source
from quantize.write.source import Files, SourceTensor

TILE_WEIGHTS = 4 << 20
"""Weights of a matrix that are float32 at once."""


class Matrix(Protocol):
    """``[num_out, num_in]``, read when asked for."""

    @property
    def num_out(self) -> int: ...

    @property
    def num_in(self) -> int: ...

    @property
    def num_bytes(self) -> int:
        """Bytes as stored."""
        ...

    @property
    def is_quantised(self) -> bool: ...

    def rows(self, begin: int, end: int) -> torch.Tensor:
        """float32 ``[end - begin, num_in]``, the caller's own."""
        ...


def tiles(matrix: Matrix) -> Sequence[tuple[int, int]]:
    """First and last row (exclusive) of tiles of at most ``TILE_WEIGHTS`` weights."""
    step = max(1, TILE_WEIGHTS // matrix.num_in // ROW_UNIT) * ROW_UNIT
    return [(begin, min(begin + step, matrix.num_out)) for begin in range(0, matrix.num_out, step)]


class Folder:
    """The tensors of a model folder, by name. Use as a context.

    Args:
        path: of the folder.
        layers: matrices that are stored quantised.
        quantizer: of those; None where there are none.

    Raises:
        ModelRefusedError: a file is no whole safetensors file.
        OSError: one cannot be read.
    """

    def __init__(
        self, path: Path, layers: Sequence[Linear] = (), quantizer: Quantizer | None = None
    ) -> None:
        self.path = path
        self._tensors = {tensor.name: tensor for tensor in source.tensors_of(path)}
        self._layers = {linear.name: linear for linear in layers}
        self._quantizer = quantizer
        self._files = Files(path, model_folder.weight_files(path))

    def __enter__(self) -> Self:
        self._files.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)

    @property
    def num_bytes(self) -> int:
        return sum(tensor.num_bytes for tensor in self._tensors.values())

    @property
    def num_weights(self) -> int:
        """Numbers that are stored; of full weights alone is that the model's size."""
        return sum(math.prod(tensor.shape) for tensor in self._tensors.values())

    def has(self, module: str) -> bool:
        """Whether there is a matrix for the module of this name."""
        return module in self._layers or f"{module}.weight" in self._tensors

    def matrix(self, module: str) -> Matrix:
        """The weight of a module.

        Raises:
            QuantizeError: the folder has none, or it is no matrix.
        """
        linear = self._layers.get(module)
        if linear is not None and self._quantizer is not None:
            return _Quantised(self._files, self._tensors, linear, self._quantizer)
        tensor = self._tensor(f"{module}.weight")
        if len(tensor.shape) != 2:
            raise QuantizeError(f"{tensor.name} is {list(tensor.shape)} and no matrix.")
        return _Plain(self._files, tensor)

    def tensor(self, name: str) -> torch.Tensor:
        """All of a tensor that is small, float32.

        Raises:
            QuantizeError: the folder has none of this name.
        """
        tensor = self._tensor(name)
        return _read(self._files, tensor, 0, tensor.num_bytes).float().view(tensor.shape)

    def _tensor(self, name: str) -> SourceTensor:
        try:
            return self._tensors[name]
        except KeyError:
            raise QuantizeError(
                f"{self.path.name} has no weight {name}, which config.json asks for."
            ) from None


@dataclass(frozen=True, slots=True)
class _Plain:
    """StoredTensor as it is."""

    files: Files
    stored: SourceTensor
    is_quantised: bool = False

    @property
    def num_out(self) -> int:
        return self.stored.shape[0]

    @property
    def num_in(self) -> int:
        return self.stored.shape[1]

    @property
    def num_bytes(self) -> int:
        return self.stored.num_bytes

    def rows(self, begin: int, end: int) -> torch.Tensor:
        row = self.stored.num_bytes // self.num_out
        read = _read(self.files, self.stored, begin * row, (end - begin) * row)
        return read.view(-1, self.num_in).float()


@dataclass(frozen=True, slots=True)
class _Quantised:
    """StoredTensor in the parts of a scheme."""

    files: Files
    tensors: Mapping[str, SourceTensor]
    linear: Linear
    quantizer: Quantizer
    is_quantised: bool = True

    @property
    def num_out(self) -> int:
        return self.linear.num_out

    @property
    def num_in(self) -> int:
        return self.linear.num_in

    @property
    def num_bytes(self) -> int:
        return sum(part.num_bytes for part in self.quantizer.stored(self.linear))

    def rows(self, begin: int, end: int) -> torch.Tensor:
        first = begin // ROW_UNIT * ROW_UNIT
        last = min(-(-end // ROW_UNIT) * ROW_UNIT, self.num_out)
        parts = {
            part.suffix: self._part(part, first, last)
            for part in self.quantizer.stored(self.linear)
        }
        return self.quantizer.dequantise(parts, self.linear)[begin - first : end - first]

    def _part(self, part: StoredTensor, begin: int, end: int) -> torch.Tensor:
        name = f"{self.linear.name}.{part.suffix}"
        stored = self.tensors.get(name)
        if stored is None or (stored.dtype, stored.shape) != (part.dtype, part.shape):
            raise QuantizeError(f"{name} is missing, or is not what the scheme says.")
        if not part.is_by_row:
            return _read(self.files, stored, 0, stored.num_bytes).view(part.shape)
        first, last = (row * stored.num_bytes // self.num_out for row in (begin, end))
        return _read(self.files, stored, first, last - first).view(-1, *part.shape[1:])


def _read(files: Files, tensor: SourceTensor, begin: int, num_bytes: int) -> torch.Tensor:
    data = bytearray(num_bytes)
    files.read(tensor.file, tensor.begin + begin, memoryview(data))
    return torch.frombuffer(data, dtype=TORCH[tensor.dtype])
