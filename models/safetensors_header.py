"""Whether a safetensors file is whole and is one, from its header alone.

Format: 8 bytes, little-endian: length N of the header; N bytes of JSON, ``{name: {dtype, shape,
data_offsets: [begin, end]}}``; then the data. Source: the format section of the safetensors
README (huggingface/safetensors). Values of tensors are not read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

MAX_HEADER_BYTES = 100_000_000  # the format's own bound
_GIT_LFS = b"version https://git-lfs"


def fault(path: Path) -> str | None:
    """What is wrong with the file, or None.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start == _GIT_LFS[:8]:
            return "is a Git LFS pointer, not the weights; fetch the file itself"
        header_bytes = int.from_bytes(start, "little")
        if len(start) < 8 or header_bytes > min(size - 8, MAX_HEADER_BYTES):
            return "is not a safetensors file, or is cut short"
        raw = file.read(header_bytes)
    if not raw.startswith(b"{"):
        return "is not a safetensors file"
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        return "has a header that is not JSON"
    return _layout_fault(header, size - 8 - header_bytes)


def _layout_fault(header: object, data_bytes: int) -> str | None:
    """Tensors lie one after the other and fill the data exactly: no gap, overlap or excess."""
    spans = []
    for name, tensor in header.items() if isinstance(header, dict) else ():
        if name == "__metadata__":
            continue
        match tensor:
            case {"dtype": str(), "shape": list(), "data_offsets": [int(begin), int(end)]}:
                spans.append((begin, end))
            case _:
                return "has a header that does not describe tensors"
    position = 0
    for begin, end in sorted(spans):
        if begin != position or end < begin:
            return "has tensors that overlap or leave gaps"
        position = end
    if position > data_bytes:
        return f"is cut short: {position - data_bytes:,} of {position:,} bytes are missing"
    if position < data_bytes:
        return f"holds {data_bytes - position:,} bytes that belong to no tensor"
    return None


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """What a header says of one tensor; ``dtype`` in the format's words (F32, BF16, U8, ...)."""

    dtype: str
    shape: tuple[int, ...]


def tensors(path: Path) -> dict[str, TensorEntry]:
    """The tensors of a file in which ``fault`` found none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not such a file.
    """
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {
        name: TensorEntry(entry["dtype"], tuple(entry["shape"]))
        for name, entry in header.items()
        if name != "__metadata__"
    }
