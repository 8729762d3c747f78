"""The files that a model folder may hold: safetensors, and the text that goes with them.

An allow-list: what is not named here is refused, and every refusal names the file and the rule.
Checked with the standard library and Jinja's parser, before torch or transformers are imported, so
that nothing in the folder has been parsed by them by then.

========================  ================================================================
what                      where its rules are
========================  ================================================================
kinds and names of files  here, and models/rules/names.py; to allow a format: ALLOWED
content against suffix    models/rules/disguise.py
safetensors files         models/rules/safetensors_header.py
index of shards           models/rules/shard_index.py
configurations            models/rules/config_rules.py, through models/rules/strict_json.py
chat templates            models/rules/templates.py, models/rules/template_sizes.py
========================  ================================================================

A folder that passes is well-formed, which does not say who made it: that is for digests and
signatures (models/trust/manifest.py, models/trust/signing.py).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ModelNotFoundError, ModelRefusedError
from models.rules import (
    config_rules,
    disguise,
    names,
    safetensors_header,
    shard_index,
    strict_json,
    templates,
)
from models.rules.strict_json import JsonFault

MAX_FILES = 1000
MAX_DEPTH = 3
MAX_CONFIG_BYTES = 4 << 20
MAX_TEXT_BYTES = 128 << 20
"""Most bytes of a vocabulary or another text; published tokenizer.json have up to 35 MB."""
MAX_SHOWN = 8

ALLOWED = frozenset({".safetensors", ".json", ".txt", ".model", ".tiktoken", ".jinja", ".md"})
ALLOWED_NAMES = frozenset({"license", "licence", "notice"})
OWN_NAMES = frozenset({"manifest.json", "model.sig"})
"""Files that we write at the top of a model's folder ourselves: its manifest and signature."""
VOCABULARIES = frozenset({"tokenizer.json", "added_tokens.json", "tekken.json"})
"""JSON whose keys are tokens: any word may be one, so they are not searched for refused keys.
The same holds for names with "vocab" in them."""
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

REFUSED_KEYS = config_rules.REFUSED_KEYS
_FILE_WORDS = frozenset({"vocab", "merges", "file", "files", "filename", "path", "url"})
"""Keys of a tokenizer.json that hold a table; a text there names another file."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One file, or one folder, and the rule that it breaks. ``file`` is relative to the model."""

    file: str
    rule: str
    reason: str

    def __str__(self) -> str:
        # Names come from whoever made the folder, and go to a terminal.
        return names.printable(f"{self.file} ({self.rule}): {self.reason}")


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
    seen: list[str] = []
    for path, name in _walk(folder, folder, 0):
        seen.append(name)
        if len(seen) > MAX_FILES:
            yield Refusal(".", "size", f"it holds more than {MAX_FILES:,} files")
            return
        refusal = (
            _by_name(name)
            or _by_kind(path, name)
            or _by_suffix(path, name)
            or _by_content(path, name)
        )
        if refusal is not None:
            yield refusal
    clash = names.clash(seen)
    if clash is not None:
        reason = f"its name differs from {clash[0]!r} in case or Unicode form only"
        yield Refusal(clash[1], "name", reason)


def name_refusal(name: str) -> Refusal | None:
    """Whether a file of this name may be in a model folder, before there is a file.

    Args:
        name: relative to the folder, in POSIX form.
    """
    wrong = _by_name(name)
    if wrong is not None:
        return wrong
    path = Path(name)
    if any(part.startswith(".") for part in path.parts):
        return Refusal(name, "hidden", "hidden files are not part of a model")
    if len(path.parts) > MAX_DEPTH + 1:
        return Refusal(name, "depth", f"it lies more than {MAX_DEPTH} folders deep")
    return _by_suffix(path, name)


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


def _by_name(name: str) -> Refusal | None:
    wrong = names.fault(name)
    return None if wrong is None else Refusal(name, "name", f"its name {wrong}")


def _by_suffix(path: Path, name: str) -> Refusal | None:
    suffix = path.suffix.lower()
    if suffix in SUFFIX_RULES:
        return Refusal(name, *SUFFIX_RULES[suffix])
    if suffix in ALLOWED or path.name.lower() in ALLOWED_NAMES or name in OWN_NAMES:
        return None
    return Refusal(name, "file-type", "not among the kinds of file that a model may hold")


def _by_content(path: Path, name: str) -> Refusal | None:
    suffix, lowered = path.suffix.lower(), path.name.lower()
    if suffix == ".safetensors":
        return _by_header(path, name)
    kind = disguise.disguise(path)
    if kind is not None:
        return Refusal(name, "disguised", f"it is {kind} under another name")
    if lowered.endswith(".safetensors.index.json"):
        return _by_index(path, name)
    if suffix == ".json" and name not in OWN_NAMES:
        is_vocabulary = lowered in VOCABULARIES or ("vocab" in lowered and "config" not in lowered)
        return _by_vocabulary(path, name) if is_vocabulary else _by_config(path, name)
    if suffix == ".jinja":
        return _by_template(path, name)
    return _by_text(path, name) if suffix in (".txt", ".tiktoken") else None


def _by_header(path: Path, name: str) -> Refusal | None:
    fault = safetensors_header.fault(path)
    if fault is None:
        return None
    # Only now: a header's length can begin with any two bytes, a pickle's too.
    kind = disguise.disguise(path)
    if kind is not None:
        return Refusal(name, "disguised", f"it is {kind} under another name")
    return Refusal(name, "safetensors", fault)


def _by_config(path: Path, name: str) -> Refusal | None:
    if path.name.lower() == "adapter_config.json":
        return Refusal(name, "adapter", "an adapter names another model to load; merge it first")
    refusals: list[Refusal] = []

    def search(key: str, value: Any) -> None:
        # Sees every object at every depth, and a repeated key each time.
        refused = config_rules.fault(key, value)
        if refused is not None:
            refusals.append(Refusal(name, *refused))
        elif key == "chat_template":
            wrong = templates.value_fault(value)
            if wrong is not None:
                refusals.append(Refusal(name, "template", f"its chat template {wrong}"))

    try:
        document = strict_json.read(path, max_bytes=MAX_CONFIG_BYTES, on_pair=search)
    except JsonFault as fault:
        return refusals[0] if refusals else Refusal(name, "config", f"it {fault}")
    if refusals:
        return refusals[0]
    if not isinstance(document, dict) and "config" in path.name.lower():
        return Refusal(name, "config", "it is not a JSON object")
    return None


def _by_vocabulary(path: Path, name: str) -> Refusal | None:
    faults: list[str] = []

    def search(key: str, value: Any) -> None:
        if isinstance(value, str) and key in _FILE_WORDS:
            faults.append(f"its key {key!r} names another file")

    try:
        document = strict_json.read(path, max_bytes=MAX_TEXT_BYTES, on_pair=search)
    except JsonFault as fault:
        return Refusal(name, "tokenizer", f"it {fault}")
    if faults:
        return Refusal(name, "tokenizer", faults[0])
    is_table = isinstance(document, dict) or path.name.lower() != "tokenizer.json"
    return None if is_table else Refusal(name, "tokenizer", "it is not a JSON object")


def _by_template(path: Path, name: str) -> Refusal | None:
    fault = templates.file_fault(path)
    return None if fault is None else Refusal(name, "template", f"it {fault}")


def _by_index(path: Path, name: str) -> Refusal | None:
    fault = shard_index.fault(path)
    return None if fault is None else Refusal(name, "index", f"it {fault}")


def _by_text(path: Path, name: str) -> Refusal | None:
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        return Refusal(name, "text", f"it is larger than {MAX_TEXT_BYTES >> 20} MiB")
    raw = path.read_bytes()
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Refusal(name, "text", f"it is not UTF-8 (byte {error.start:,})")
    return Refusal(name, "text", "it holds NUL bytes") if b"\0" in raw else None
