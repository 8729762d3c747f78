"""The layout of the result: shards of bounded size, with their safetensors headers.

Within a shard, tensors of wider numbers come first, so that each begins at a multiple of its width:
readers that map a file view its bytes as numbers without copying them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quantize.formats import forms
from quantize.plan.scheme_plan import Output

SHARD_BYTES = 4_000_000_000
_OTHER_WIDTHS = {"F64": 8, "U64": 8, "C64": 8, "U32": 4, "U16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file of the result.

    Attributes:
        name: ``model.safetensors`` or ``model-00001-of-00003.safetensors``.
        header: its first bytes.
        places: of each output, its first byte in the file.
        num_bytes: of the whole file.
    """

    name: str
    header: bytes
    outputs: tuple[Output, ...]
    places: dict[str, int]
    num_bytes: int


def shards_of(outputs: Sequence[Output], max_bytes: int = SHARD_BYTES) -> list[Shard]:
    """The files that hold these outputs.

    What one source tensor becomes stays together. A shard is larger than ``max_bytes`` only where a
    single source tensor makes it so.
    """
    groups: list[list[Output]] = [[]]
    size = 0
    for _, group in itertools.groupby(outputs, key=lambda output: output.source):
        parts = list(group)
        num_bytes = sum(part.num_bytes for part in parts)
        if groups[-1] and size + num_bytes > max_bytes:
            groups.append([])
            size = 0
        groups[-1] += parts
        size += num_bytes
    return [_shard(parts, number, len(groups)) for number, parts in enumerate(groups, 1)]


def index_of(shards: Sequence[Shard]) -> bytes:
    """``model.safetensors.index.json`` over several shards."""
    document: dict[str, Any] = {
        "metadata": {"total_size": sum(o.num_bytes for shard in shards for o in shard.outputs)},
        "weight_map": {
            name: shard.name
            for name, shard in sorted(
                ((o.name, shard) for shard in shards for o in shard.outputs),
                key=lambda pair: pair[0],
            )
        },
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def _shard(outputs: Sequence[Output], number: int, total: int) -> Shard:
    ordered = sorted(outputs, key=lambda output: -_width(output.dtype))
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for output in ordered:
        entries[output.name] = {
            "dtype": output.dtype,
            "shape": list(output.shape),
            "data_offsets": [position, position + output.num_bytes],
        }
        position += output.num_bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    begin = 8 + len(text)
    return Shard(
        name="model.safetensors" if total == 1 else f"model-{number:05}-of-{total:05}.safetensors",
        header=len(text).to_bytes(8, "little") + text,
        outputs=tuple(outputs),
        places={
            name: begin + entry["data_offsets"][0]
            for name, entry in entries.items()
            if name != "__metadata__"
        },
        num_bytes=begin + position,
    )


def _width(dtype: str) -> int:
    """Bytes of one number; 1 for what is narrower or has no alignment of its own."""
    return forms.bytes_of(dtype) if dtype in forms.TORCH else _OTHER_WIDTHS.get(dtype, 1)
