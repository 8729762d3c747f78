"""Whether an index of shards agrees with the shards beside it.

``*.safetensors.index.json`` maps tensor names to files. Engines read it in ways of their own: one
opens the files that it names, another asks only for the tensors that it names. So it must name
plain files that are there, each tensor where it is, and no tensor may be in two of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from models.rules import names, safetensors_header, strict_json
from models.rules.budget import Budget
from models.rules.safetensors_header import HeaderFault
from models.rules.strict_json import JsonFault

MAX_INDEX_BYTES = 32 << 20
"""The largest published index, of 91,991 tensors, has 9 MB."""
MAX_SHARDS = 1000


def fault(path: Path, budget: Budget | None = None) -> str | None:
    """The fault of the index, as the end of a sentence that begins with "it"; None without one.

    Raises:
        OSError: it, or a shard, cannot be read.
    """
    try:
        document = strict_json.read(path, max_bytes=MAX_INDEX_BYTES, budget=budget)
    except JsonFault as found:
        return str(found)
    match document:
        case {"weight_map": dict(weight_map)} if weight_map:
            return _map_fault(path, weight_map, budget)
        case _:
            return "is not an index of shards"


def _map_fault(index: Path, weight_map: Mapping[str, object], budget: Budget | None) -> str | None:
    shards: set[str] = set()
    for shard in weight_map.values():
        if not isinstance(shard, str):
            return "names a shard that is no text"
        if shard not in shards:
            wrong = names.fault(shard) or _not_a_shard(index, shard)
            if wrong:
                return f"names {shard[:80]!r}, which {wrong}"
            shards.add(shard)
    clash = names.clash(shards)
    if clash:
        return f"names {clash[0]!r} and {clash[1]!r}, which some file systems take for one"
    single = index.name.removesuffix(".index.json")
    if single not in shards and (index.parent / single).is_file():
        return f"stands beside {single}, and engines differ in which of them they read"
    if len(shards) > MAX_SHARDS:
        return f"names {len(shards):,} shards; at most {MAX_SHARDS:,} are read"
    return _contents_fault(index.parent, weight_map, sorted(shards), budget)


def _not_a_shard(index: Path, shard: str) -> str | None:
    if "/" in shard:
        return "is not a file beside it"
    if not shard.endswith(".safetensors"):
        return "is no safetensors file"
    return None if (index.parent / shard).is_file() else "is not there"


def _tensors_of(shard: Path, budget: Budget | None) -> Iterable[str]:
    if budget is not None and shard in budget.tensor_names:
        return budget.tensor_names[shard]
    return safetensors_header.tensors(shard, budget)


def _contents_fault(
    folder: Path, weight_map: Mapping[str, object], shards: list[str], budget: Budget | None
) -> str | None:
    holder: dict[str, str] = {}
    for shard in shards:
        try:
            tensors = _tensors_of(folder / shard, budget)
        except HeaderFault:
            return None  # refused on its own account
        for tensor in tensors:
            if tensor in holder:
                return f"leads to the tensor {tensor[:80]!r} in {holder[tensor]} and in {shard}"
            holder[tensor] = shard
    for tensor, named in weight_map.items():
        if tensor not in holder:
            return f"names the tensor {tensor[:80]!r}, which is in none of its shards"
        if holder[tensor] != named:
            return f"says that {tensor[:80]!r} is in {named}; it is in {holder[tensor]}"
    return None
