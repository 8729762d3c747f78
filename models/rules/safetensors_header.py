"""Whether a safetensors file is whole and is one, from its header alone.

Format: 8 bytes, little-endian: length N of the header; N bytes of JSON, ``{name: {dtype, shape,
data_offsets: [begin, end]}}``; then the data. Source: the format section of the safetensors
README (huggingface/safetensors). Values of tensors are not read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models import plain_file
from models.rules import strict_json
from models.rules.budget import Budget
from models.rules.strict_json import JsonFault

MAX_HEADER_BYTES = 32_000_000
"""Most bytes of a header. The format allows 100,000,000; the 91,991 tensors of a large published
checkpoint would make 13,000,000 in one file."""
_MAX_DATA_BYTES = 1 << 63
_MAX_RANK = 32
_GIT_LFS = b"version https://git-lfs"

DTYPE_BITS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("F4",), 4),
        **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
        **dict.fromkeys(("BOOL", "U8", "I8"), 8),
        **dict.fromkeys(
            ("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
            8,
        ),
        **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
        **dict.fromkeys(("U32", "I32", "F32"), 32),
        **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    }
)
"""Bits of one element."""


class HeaderFault(ValueError):
    """The fault of the file, as the end of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor as the header describes it.

    ``dtype`` is in the format's words (F32, BF16, U8, ...); ``begin`` and ``end`` count bytes from
    the start of the data.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int = 0
    end: int = 0

    @property
    def num_bytes(self) -> int:
        return self.end - self.begin

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)


def fault(path: Path, budget: Budget | None = None) -> str | None:
    """The fault of the file, or None.

    Raises:
        OSError: it cannot be read.
    """
    try:
        tensors(path, budget)
    except HeaderFault as found:
        return str(found)
    return plain_file.hole_fault(path)


def tensors(path: Path, budget: Budget | None = None) -> dict[str, TensorEntry]:
    """The tensors of the file by name, in the order of their data.

    Raises:
        HeaderFault: it is no whole safetensors file.
        OSError: it cannot be read.
    """
    with plain_file.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if start == _GIT_LFS[:8]:
            raise HeaderFault("is a Git LFS pointer, not the weights; fetch the file itself")
        header_bytes = int.from_bytes(start, "little")
        if len(start) < 8 or header_bytes > size - 8:
            raise HeaderFault("is not a safetensors file, or is cut short")
        if header_bytes > MAX_HEADER_BYTES:
            raise HeaderFault(
                f"has a header of {header_bytes:,} bytes; at most {MAX_HEADER_BYTES:,} are allowed"
            )
        raw = file.read(header_bytes)
    if not raw.startswith(b"{"):
        raise HeaderFault("is not a safetensors file")
    try:
        header = strict_json.parse(raw, budget=budget)
    except JsonFault as found:
        raise HeaderFault(f"has a header that {found}") from None
    _check_metadata(header.pop("__metadata__", None))
    entries = {name: _tensor(name, entry) for name, entry in header.items()}
    ordered = dict(sorted(entries.items(), key=_place))
    _check_layout(ordered, size - 8 - header_bytes)
    if budget is not None:
        budget.tensor_names[path] = tuple(ordered)
    return ordered


def _place(item: tuple[str, TensorEntry]) -> tuple[int, int]:
    return item[1].begin, item[1].end


def _check_metadata(metadata: object) -> None:
    is_texts = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    if metadata is not None and not is_texts:
        raise HeaderFault("has a header whose __metadata__ is no table of texts")


def _tensor(name: str, entry: object) -> TensorEntry:
    # Read without patterns, which take twice as long: there may be 200,000 tensors.
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]  # type: ignore[index]
        is_described = (
            len(entry) == 3  # type: ignore[arg-type]
            and type(dtype) is str
            and type(shape) is list
            and len(shape) <= _MAX_RANK
            and _are_counts([*shape, begin, end])
        )
    except (TypeError, KeyError, ValueError):
        is_described = False
    if not is_described:
        raise HeaderFault(f"has a header that does not describe tensors ({name[:80]!r})")
    if dtype not in DTYPE_BITS:
        raise HeaderFault(f"has the tensor {name[:80]!r} of the unknown type {dtype[:20]!r}")
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if end < begin:
        raise HeaderFault(f"has the tensor {name[:80]!r}, which ends before it begins")
    if bits % 8 or bits // 8 != end - begin:
        raise HeaderFault(
            f"has the tensor {name[:80]!r}, whose shape and type make {-(-bits // 8):,} bytes and "
            f"whose place has {end - begin:,}"
        )
    return TensorEntry(dtype, tuple(shape), begin, end)


def _are_counts(values: list[Any]) -> bool:
    return all(type(value) is int and 0 <= value < _MAX_DATA_BYTES for value in values)


def _check_layout(tensors: Mapping[str, TensorEntry], data_bytes: int) -> None:
    """Tensors lie one after the other and fill the data exactly: no gap, overlap or excess."""
    position = 0
    for name, tensor in tensors.items():
        if tensor.begin != position:
            kind = "overlap" if tensor.begin < position else "leave gaps"
            raise HeaderFault(f"has tensors that {kind} (at {name[:80]!r})")
        position = tensor.end
    if position > data_bytes:
        raise HeaderFault(
            f"is cut short: {position - data_bytes:,} of {position:,} bytes are missing"
        )
    if position < data_bytes:
        raise HeaderFault(f"holds {data_bytes - position:,} bytes that belong to no tensor")
