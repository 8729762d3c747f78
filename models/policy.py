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
bookkeeping, passed over  models/rules/bookkeeping.py
work for a whole folder   models/rules/budget.py
chat templates            models/rules/templates.py, models/rules/template_sizes.py
========================  ================================================================

A folder that passes is well-formed, which does not say who made it: that is for digests and
signatures (models/trust/manifest.py, models/trust/signing.py).
"""

from __future__ import annotations

import codecs
import gc
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import hub_cache, plain_file
from models.errors import ModelNotFoundError, ModelRefusedError
from models.rules import (
    bookkeeping,
    config_rules,
    disguise,
    names,
    safetensors_header,
    shard_index,
    strict_json,
    templates,
)
from models.rules.budget import MAX_CONFIG_VALUES, Budget, BudgetFault
from models.rules.strict_json import JsonFault

MAX_FILES = 1000
MAX_DEPTH = 3
MAX_CONFIG_BYTES = 4 << 20
MAX_TABLE_BYTES = 40 << 20
"""Most bytes of a vocabulary in JSON; published tokenizer.json have up to 35 MB."""
MAX_TEXT_BYTES = 128 << 20
"""Most bytes of another text."""
MAX_ENTRIES = 20_000
"""Most files and folders that are looked at to say what is wrong."""
MAX_SHOWN = 8
_TEXT_CHUNK_BYTES = 1 << 20

ALLOWED = frozenset({".safetensors", ".json", ".txt", ".model", ".tiktoken", ".jinja", ".md"})
ALLOWED_NAMES = frozenset({"license", "licence", "notice"})
OWN_NAMES = frozenset({"manifest.json", "model.sig"})
"""Files that we write at the top of a model's folder ourselves: its manifest and signature."""
VOCABULARIES = frozenset({"tokenizer.json", "added_tokens.json", "tekken.json"})
"""JSON whose keys are tokens: any word may be one, so they are not searched for refused keys.
The same holds for names with "vocab" in them."""

_PICKLE = "loading it can run code; convert the model to safetensors"
_CODE = "a model brings no code of its own"
_LINK = (
    "links can lead out of the folder, but for those of Hugging Face's cache into the same entry's "
    "blobs; copy with `cp -rL`"
)
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
        with _collector_paused():
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


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's collector, which took half of the time that 200,000 tensors need: parsed JSON
    has no cycles, and the collector walks all of it again and again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def inspect(folder: Path) -> Iterator[Refusal]:
    """Every breach in the folder, by path.

    Raises:
        OSError: something in it cannot be read.
    """
    listed = list(itertools.islice(_walk(folder, folder, 0, itertools.count(1)), MAX_FILES + 1))
    if len(listed) > MAX_FILES:  # before a byte of any is read
        yield Refusal(".", "size", f"it holds more than {MAX_FILES:,} files")
        return
    budget = Budget()
    for path, name in listed:
        try:
            refusal = (
                _by_name(name)
                or _by_kind(path, name)
                or _by_suffix(path, name)
                or _by_content(path, name, budget)
            )
        except BudgetFault as fault:
            yield Refusal(name, "size", f"it {fault}; nothing after it was read")
            return
        if refusal is not None:
            yield refusal
    clash = names.clash(name for _, name in listed)
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


def passed_over(folder: Path) -> list[str]:
    """Names at the top of a folder that no rule, manifest or engine looks at.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        some = itertools.islice(entries, MAX_ENTRIES)
        return sorted(entry.name for entry in some if bookkeeping.is_bookkeeping(entry))


def _walk(folder: Path, root: Path, depth: int, count: Iterator[int]) -> Iterator[tuple[Path, str]]:
    """Files, links, and folders that go too deep, up to MAX_ENTRIES. Follows no link."""
    with os.scandir(folder) as entries:
        ordered = sorted(itertools.islice(entries, MAX_ENTRIES), key=lambda entry: entry.name)
    for entry in ordered:
        path = Path(entry.path)
        if bookkeeping.is_bookkeeping(entry):
            continue
        if next(count) > MAX_ENTRIES:
            raise OSError(0, f"it holds more than {MAX_ENTRIES:,} files and folders", str(root))
        if entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
            yield from _walk(path, root, depth + 1, count)
        else:
            yield path, path.relative_to(root).as_posix()


def _by_kind(path: Path, name: str) -> Refusal | None:
    mode = hub_cache.place_of(path).lstat().st_mode
    if stat.S_ISLNK(mode):
        return Refusal(name, "symlink", _LINK)
    if stat.S_ISDIR(mode):
        return Refusal(name, "depth", f"it lies more than {MAX_DEPTH} folders deep")
    if not stat.S_ISREG(mode):
        kind = plain_file.kind_of(path) or "something else"
        return Refusal(name, "special-file", f"it is not a plain file but {kind}; remove it")
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


def _by_content(path: Path, name: str, budget: Budget) -> Refusal | None:
    suffix, lowered = path.suffix.lower(), path.name.lower()
    if suffix == ".safetensors":
        return _by_header(path, name, budget)
    kind = disguise.disguise(path)
    if kind is not None:
        return Refusal(name, "disguised", f"it is {kind} under another name")
    if lowered.endswith(".safetensors.index.json"):
        return _by_index(path, name, budget)
    if suffix == ".json" and name not in OWN_NAMES:
        is_vocabulary = lowered in VOCABULARIES or ("vocab" in lowered and "config" not in lowered)
        by = _by_vocabulary if is_vocabulary else _by_config
        return by(path, name, budget)
    if suffix == ".jinja":
        return _by_template(path, name, budget)
    return _by_text(path, name) if suffix in (".txt", ".tiktoken") else None


def _by_header(path: Path, name: str, budget: Budget) -> Refusal | None:
    fault = safetensors_header.fault(path, budget)
    if fault is None:
        return None
    # Only now: a header's length can begin with any two bytes, a pickle's too.
    kind = disguise.disguise(path)
    if kind is not None:
        return Refusal(name, "disguised", f"it is {kind} under another name")
    return Refusal(name, "safetensors", fault)


def _by_config(path: Path, name: str, budget: Budget) -> Refusal | None:
    if path.name.lower() == "adapter_config.json":
        return Refusal(name, "adapter", "an adapter names another model to load; merge it first")
    refusals: list[Refusal] = []

    def search(key: str, value: Any) -> None:
        # Sees every object at every depth, and a repeated key each time.
        refused = config_rules.fault(key, value)
        if refused is not None:
            refusals.append(Refusal(name, *refused))
        elif key == "chat_template":
            wrong = _templates_fault(value, budget)
            if wrong is not None:
                refusals.append(Refusal(name, "template", f"its chat template {wrong}"))

    try:
        document = strict_json.read(
            path,
            max_bytes=MAX_CONFIG_BYTES,
            max_values=MAX_CONFIG_VALUES,
            on_pair=search,
            budget=budget,
        )
    except JsonFault as fault:
        return refusals[0] if refusals else Refusal(name, "config", f"it {fault}")
    if refusals:
        return refusals[0]
    if not isinstance(document, dict) and "config" in path.name.lower():
        return Refusal(name, "config", "it is not a JSON object")
    return None


def _templates_fault(value: Any, budget: Budget) -> str | None:
    """The fault that `templates.value_fault` finds, within the folder's budget."""
    texts = value if isinstance(value, list) else [value]
    texts = list(value.values()) if isinstance(value, dict) else texts
    texts = [row.get("template") if isinstance(row, dict) else row for row in texts]
    num_bytes = sum(len(text) for text in texts if isinstance(text, str))
    if len(texts) > 1 or num_bytes <= templates.MAX_TEMPLATE_BYTES:
        budget.take_template(num_bytes, count=len(texts))
    return templates.value_fault(value)


def _by_vocabulary(path: Path, name: str, budget: Budget) -> Refusal | None:
    faults: list[str] = []

    def search(key: str, value: Any) -> None:
        if isinstance(value, str) and key in _FILE_WORDS:
            faults.append(f"its key {key!r} names another file")

    try:
        document = strict_json.read(path, max_bytes=MAX_TABLE_BYTES, on_pair=search, budget=budget)
    except JsonFault as fault:
        return Refusal(name, "tokenizer", f"it {fault}")
    if faults:
        return Refusal(name, "tokenizer", faults[0])
    is_table = isinstance(document, dict) or path.name.lower() != "tokenizer.json"
    return None if is_table else Refusal(name, "tokenizer", "it is not a JSON object")


def _by_template(path: Path, name: str, budget: Budget) -> Refusal | None:
    num_bytes = hub_cache.place_of(path).lstat().st_size
    if num_bytes <= templates.MAX_TEMPLATE_BYTES:  # else refused by that alone
        budget.take_template(num_bytes)
    fault = templates.file_fault(path)
    return None if fault is None else Refusal(name, "template", f"it {fault}")


def _by_index(path: Path, name: str, budget: Budget) -> Refusal | None:
    fault = shard_index.fault(path, budget)
    return None if fault is None else Refusal(name, "index", f"it {fault}")


def _by_text(path: Path, name: str) -> Refusal | None:
    decoder, num_read = codecs.getincrementaldecoder("utf-8")(), 0
    with plain_file.opened(path) as file:
        while True:
            raw = file.read(_TEXT_CHUNK_BYTES)
            if num_read + len(raw) > MAX_TEXT_BYTES:
                return Refusal(name, "text", f"it is larger than {MAX_TEXT_BYTES >> 20} MiB")
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                at = num_read - held + error.start
                return Refusal(name, "text", f"it is not UTF-8 (byte {at:,})")
            if b"\0" in raw:
                return Refusal(name, "text", "it holds NUL bytes")
            if not raw:
                return None
            num_read += len(raw)
