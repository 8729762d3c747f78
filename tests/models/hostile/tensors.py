"""Hostile safetensors, indexes and vocabularies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from tests.models.folders import safetensors
from tests.models.hostile.shape import Shape

INDEX = "model.safetensors.index.json"


def header(folder: Path, raw: bytes, *, length: int | None = None, data: int = 8) -> None:
    size = len(raw) if length is None else length
    content = size.to_bytes(8, "little") + raw + bytes(data)
    (folder / "model.safetensors").write_bytes(content)


def lying_header(folder: Path, random: Random) -> None:
    raw = json.dumps({"t": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
    length = random.choice([0, 1, 7, len(raw) - 1, len(raw) + 9, 1 << 32, 1 << 63, (1 << 64) - 1])
    header(folder, raw, length=length)


def lying_tensor(folder: Path, random: Random) -> None:
    entry: dict[str, Any] = {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}
    key, value = random.choice(
        [
            ("dtype", random.choice(["Q4", "", "U8 ", 7, None, ["U8"]])),
            (
                "shape",
                random.choice([[1 << 62, 1 << 62], [-8], [8.0], ["8"], [[8]], 8, [9], [True]]),
            ),
            ("shape", [1 << 40] * 32),
            ("shape", [8] + [1] * 10_000),
            ("data_offsets", random.choice([[8, 0], [0, 1 << 63], [0], [0, 8, 8], [-8, 0], "08"])),
            ("more", 1),
        ]
    )
    header(folder, json.dumps({"t": entry | {key: value}}).encode())


def overlapping(folder: Path, random: Random) -> None:
    places = random.choice([[(0, 8), (4, 8)], [(0, 4), (6, 8)], [(0, 8), (0, 8)], [(2, 8)]])
    tensors = {
        f"t{number}": {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
        for number, (begin, end) in enumerate(places)
    }
    header(folder, json.dumps(tensors).encode())


def bytes_of_header(folder: Path, random: Random) -> None:
    header(
        folder,
        random.choice(
            [
                b"[]",
                b"{",
                b"{}{}",
                b"\xef\xbb\xbf{}",
                "{}".encode("utf-16"),
                b'{"t":' * 50_000,
                b'{"__metadata__": {"a": 1}}',
                b'{"t": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}, "t": {}}',
                bytes(random.randrange(1, 100)),
            ]
        ),
    )


def large_header(folder: Path, random: Random) -> None:
    if random.random() < 0.5:
        header(folder, b"{" + b" " * (80_000_000 - 2) + b"}")
    else:
        header(folder, b'{"a":[' + b"{}," * 5_000_000 + b"0]}")


def many_shards(folder: Path, random: Random) -> None:
    """Each header within its bounds, and far too many values together."""
    tensors = {
        f"t{number}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
        for number in range(20_000)
    }
    raw = json.dumps(tensors).encode()
    for number in range(random.choice([40, 200])):
        path = folder / f"model-{number:05}.safetensors"
        path.write_bytes(len(raw).to_bytes(8, "little") + raw)


def empty_tensors(folder: Path, random: Random) -> None:
    """Nothing is wrong with a tensor of no elements; 100,000 of them are read in time."""
    num = random.choice([1, 1000, 100_000])
    tensors = {
        f"t{n}": {"dtype": "F32", "shape": [0, 1 << 40], "data_offsets": [0, 0]} for n in range(num)
    }
    header(folder, json.dumps(tensors).encode(), data=0)


def index(folder: Path, random: Random) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    num_many = random.choice([10**4, 10**6])
    weight_map = random.choice(
        [
            {},
            [],
            None,
            {"t": "../a.safetensors"},
            {"t": "/etc/passwd"},
            {"t": "absent.safetensors"},
            {"t": "a.safetensors\n"},
            {"other": "a.safetensors"},
            {"t": 5},
            {"t": ["a.safetensors"]},
            {"t": "x" * 10_000},
            "many",
        ]
    )
    if weight_map == "many":
        weight_map = {f"t{number}": f"s{number}.safetensors" for number in range(num_many)}
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def shards_that_share(folder: Path, random: Random) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.safetensors").write_bytes(safetensors())
    (folder / "model.safetensors").unlink()
    shard = random.choice(["a", "b"])
    (folder / INDEX).write_text(
        json.dumps({"weight_map": {"t": f"{shard}.safetensors", "u": "b.safetensors"}})
    )


def indexes_without_end(folder: Path, random: Random) -> None:
    """Each leads to all shards, which each would read again."""
    tensors = {
        f"t{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(10_000)
    }
    header(folder, json.dumps(tensors).encode(), data=0)
    weight_map = dict.fromkeys(tensors, "model.safetensors")
    for number in range(random.choice([60, 300])):
        (folder / f"i{number}.safetensors.index.json").write_text(
            json.dumps({"weight_map": weight_map})
        )


def vocabulary(folder: Path, random: Random) -> None:
    path = folder / "tokenizer.json"
    match random.randrange(6):
        case 0:
            path.write_bytes(b'{"a":"' + b"x" * (78 << 20) + b'"}')
        case 1:
            path.write_bytes(b"[" + b"[]," * 12_000_000 + b"0]")
        case 2:
            rows = b'{"id":1,"content":"a","special":true},' * 1_000_000
            path.write_bytes(b'{"added_tokens":[' + rows + b"{}]}")
        case 3:
            path.write_bytes(b'{"model":{"vocab":{' + b'"ab":1,' * 5_000_000 + b'"c":1}}}')
        case 4:
            (folder / "vocab.json").write_bytes(b'{"a":' * 100_000)
        case _:
            (folder / "vocab.txt").write_bytes(b"ab\n" * 45_000_000)


def sparse(folder: Path, random: Random) -> None:
    """A file of a terabyte that no disk holds; its header describes one tensor of that size."""
    path = folder / "model.safetensors"
    size = random.choice([2 << 30, 1 << 40])
    raw = json.dumps({"t": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)
    os.truncate(path, 8 + len(raw) + size)


SHAPES = [
    Shape("a header of another length", lying_header, weight=4),
    Shape("a tensor that lies", lying_tensor, weight=5),
    Shape("tensors that overlap", overlapping, weight=2),
    Shape("a header of other bytes", bytes_of_header, weight=3),
    Shape("a header too large", large_header, is_heavy=True),
    Shape("too many shards", many_shards, is_heavy=True),
    Shape("tensors of nothing", empty_tensors, is_refused=False, is_heavy=True),
    Shape("an index that leads elsewhere", index, weight=4),
    Shape("shards that share a tensor", shards_that_share),
    Shape("indexes without end", indexes_without_end, is_refused=False, is_heavy=True),
    Shape("a vocabulary without end", vocabulary, weight=2, is_heavy=True),
    Shape("a hole", sparse, weight=2),
]
