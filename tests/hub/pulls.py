"""Pulls from the emulator, in this process, and a model for it to serve."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.hub.fetch import HubOrigin
from models.hub.origins import FolderOrigin
from models.hub.pull import Pull, Pulled
from models.progress import Progress, Snapshot
from models.refs import ModelRef
from tests.hub.emulator import Hub

REPO = "acme/tiny"
NAME = "acme--tiny"


@dataclass
class Watch:
    """A view of progress that remembers."""

    interval_s: float = 0.0
    seen: list[Snapshot] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def show(self, snapshot: Snapshot) -> None:
        self.seen.append(snapshot)

    def notice(self, text: str) -> None:
        self.notices.append(text)


def tiny_repo(num_bytes: int = 300_000, **config: Any) -> dict[str, bytes]:
    """The files of a repository with two shards, and what a pull leaves out."""
    shards = {f"t{part}": f"model-{part}-of-2.safetensors" for part in (1, 2)}
    return {
        "config.json": json.dumps({"model_type": "qwen2"} | config).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": json.dumps({"weight_map": shards}).encode(),
        **{name: _shard(tensor, num_bytes) for tensor, name in shards.items()},
        "pytorch_model.bin": b"pickle",
        ".gitattributes": b"*.safetensors filter=lfs",
    }


def _shard(tensor: str, num_bytes: int) -> bytes:
    entry = {"dtype": "U8", "shape": [num_bytes], "data_offsets": [0, num_bytes]}
    header = json.dumps({tensor: entry}).encode()
    data = bytes(index * len(tensor) % 251 for index in range(num_bytes))
    return len(header).to_bytes(8, "little") + header + data


def pull(hub: Hub | None, data_dir: Path, watch: Watch | None = None, **changes: Any) -> Pulled:
    """Pull REPO from the emulator, or what ``changes`` say."""
    token = changes.pop("token", False)
    origin = changes.pop("origin", None) or HubOrigin(endpoint=hub.url if hub else "", token=token)
    ref = None if isinstance(origin, FolderOrigin) else ModelRef(repo=REPO)
    facts: dict[str, Any] = {
        "name": NAME,
        "ref": ref,
        "origin": origin,
        "where": "the origin",
        "data_dir": data_dir,
        "progress": Progress(watch or Watch()),
    }
    return Pull(**(facts | changes)).run()


def closed_address() -> str:
    """Where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"
