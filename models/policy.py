"""What a model folder may hold today: safetensors, and the text that goes with them.

An allow-list: what is not named here is refused, and every refusal names the file and the rule.
Checked with the standard library alone, before torch or transformers are imported, so that
nothing in the folder has been parsed by them by then. To allow a format, add its suffix to
ALLOWED; to refuse a key of a configuration, add it to REFUSED_KEYS.

Not here yet: digests and signatures. A folder that passes is well-formed, which does not say who
made it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import safetensors_header
from models.errors import ModelNotFoundError, ModelRefusedError

MAX_FILES = 1000
MAX_DEPTH = 3
MAX_CONFIG_BYTES = 4 << 20
MAX_SHOWN = 8

ALLOWED = frozenset({".safetensors", ".json", ".txt", ".model", ".tiktoken", ".jinja", ".md"})
ALLOWED_NAMES = frozenset({"license", "licence", "notice"})
SKIPPED = frozenset({".cache", ".git", ".gitattributes", ".gitignore"})
"""Bookkeeping of download tools. No loader opens it, so neither do we."""

_PICKLE = "loading it can run code; convert the model to safetensors"
_CODE = "a model brings no code of its own"
_FORMAT = "weights are read from safetensors only"
SUFFIX_RULES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"),
        ("pickle", _PICKLE),
    ),
    **dict.fromkeys((".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh"), ("code", _CODE)),
    **dict.fromkeys((".gguf", ".ggml", ".onnx", ".h5", ".msgpack"), ("weights-format", _FORMAT)),
}
"""Suffix → (rule, reason), for a message better than 'not on the list'."""

REFUSED_KEYS = {
    "auto_map": "it names code to import; delete the key if transformers knows the architecture",
    "custom_pipelines": "it names code to import",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One file, or one folder, and the rule that it breaks. ``file`` is relative to the model."""

    file: str
    rule: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file} ({self.rule}): {self.reason}"


def check(folder: Path) -> None:
    """Let a model folder pass, or say why not.

    Raises:
        ModelNotFoundError: it cannot be read.
        ModelRefusedError: it breaks a rule; the message has the first few breaches.
    """
    try:
        refusals = list(inspect(folder))
    except OSError as error:
        raise ModelNotFoundError(
            f"the model folder {folder} cannot be read: {error.strerror or error}"
        ) from None
    if refusals:
        shown = "\n".join(f"  {refusal}" for refusal in refusals[:MAX_SHOWN])
        more = f"\n  and {len(refusals) - MAX_SHOWN} more" if len(refusals) > MAX_SHOWN else ""
        raise ModelRefusedError(
            f"the model folder {folder} is refused:\n{shown}{more}\n"
            f"Allowed are {', '.join(sorted(ALLOWED))} and licence files."
        )


def inspect(folder: Path) -> Iterator[Refusal]:
    """Every breach in the folder, by path.

    Raises:
        OSError: something in it cannot be read.
    """
    for number, (path, name) in enumerate(_walk(folder, folder, 0), 1):
        if number > MAX_FILES:
            yield Refusal(".", "size", f"it holds more than {MAX_FILES:,} files")
            return
        refusal = _by_kind(path, name) or _by_suffix(path, name) or _by_content(path, name)
        if refusal is not None:
            yield refusal


def _walk(folder: Path, root: Path, depth: int) -> Iterator[tuple[Path, str]]:
    """Files, links, and folders that go too deep. Follows no link."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = Path(entry.path)
        if entry.name in SKIPPED and not entry.is_symlink():
            continue
        if entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
            yield from _walk(path, root, depth + 1)
        else:
            yield path, path.relative_to(root).as_posix()


def _by_kind(path: Path, name: str) -> Refusal | None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return Refusal(name, "symlink", "links can lead out of the folder; copy with `cp -rL`")
    if stat.S_ISDIR(mode):
        return Refusal(name, "depth", f"it lies more than {MAX_DEPTH} folders deep")
    if not stat.S_ISREG(mode):
        return Refusal(name, "special-file", "it is not a plain file")
    if path.name.startswith("."):
        return Refusal(name, "hidden", "hidden files are not part of a model")
    return None


def _by_suffix(path: Path, name: str) -> Refusal | None:
    suffix = path.suffix.lower()
    if suffix in SUFFIX_RULES:
        return Refusal(name, *SUFFIX_RULES[suffix])
    if suffix in ALLOWED or path.name.lower() in ALLOWED_NAMES:
        return None
    return Refusal(name, "file-type", "not among the kinds of file that a model may hold")


def _by_content(path: Path, name: str) -> Refusal | None:
    if path.suffix.lower() == ".safetensors":
        fault = safetensors_header.fault(path)
        return None if fault is None else Refusal(name, "safetensors", fault)
    if path.name.lower().endswith(".safetensors.index.json"):
        return _by_index(path, name)
    # Vocabularies may hold any word as a key, so only configurations are searched.
    if path.suffix.lower() == ".json" and "config" in path.name.lower():
        return _by_config(path, name)
    return None


def _by_config(path: Path, name: str) -> Refusal | None:
    if path.name.lower() == "adapter_config.json":
        return Refusal(name, "adapter", "an adapter names another model to load; merge it first")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        return Refusal(name, "config", f"it is larger than {MAX_CONFIG_BYTES >> 20} MiB")
    found: list[str] = []

    def search(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Sees every object at every depth, and a repeated key each time.
        for key, value in pairs:
            if key in REFUSED_KEYS:
                found.append(f"its key {key!r} is refused: {REFUSED_KEYS[key]}")
            elif key.endswith("attn_implementation") and "/" in str(value):
                found.append(f"its key {key!r} names a kernel to download")
        return dict(pairs)

    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=search)
    except (ValueError, RecursionError):
        return Refusal(name, "config", "it is not JSON")
    if found:
        return Refusal(name, "remote-code", found[0])
    if not isinstance(document, dict):
        return Refusal(name, "config", "it is not a JSON object")
    return None


def _by_index(path: Path, name: str) -> Refusal | None:
    """An index of shards names files beside it, never a path that leads elsewhere."""
    try:
        shards = json.loads(path.read_bytes())["weight_map"].values()
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return Refusal(name, "index", "it is not an index of shards")
    for shard in shards:
        if not isinstance(shard, str) or Path(shard).name != shard:
            return Refusal(name, "index", f"it names {shard!r}, which is not a file beside it")
    return None
