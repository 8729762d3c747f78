"""The content of an allowed file: held to its suffix, and to the rules of its kind."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from models import hub_cache, plain_file
from models.rules import (
    config_rules,
    disguise,
    safetensors_header,
    shard_index,
    strict_json,
    templates,
)
from models.rules.budget import MAX_CONFIG_VALUES, Budget
from models.rules.refusals import Refusal
from models.rules.strict_json import JsonFault

MAX_CONFIG_BYTES = 4 << 20
MAX_TABLE_BYTES = 40 << 20
"""Most bytes of a vocabulary in JSON; published tokenizer.json have up to 35 MB."""
MAX_TEXT_BYTES = 128 << 20
"""Most bytes of another text."""
_TEXT_CHUNK_BYTES = 1 << 20
OWN_NAMES = frozenset({"manifest.json", "model.sig"})
"""Files that we write at the top of a model's folder ourselves: its manifest and signature."""
VOCABULARIES = frozenset({"tokenizer.json", "added_tokens.json", "tekken.json"})
"""JSON whose keys are tokens: any word may be one, so they are not searched for refused keys.
The same holds for names with "vocab" in them."""

_FILE_WORDS = frozenset({"vocab", "merges", "file", "files", "filename", "path", "url"})
"""Keys of a tokenizer.json that hold a table; a text there names another file."""


def content_refusal(path: Path, name: str, budget: Budget) -> Refusal | None:
    """The first rule that the bytes of an allowed file break; None where they break none.

    Args:
        path: where it is read.
        name: relative to the model's folder, in POSIX form.
        budget: of work for the whole folder.

    Raises:
        BudgetFault: the folder asks for more work than any model needs.
        OSError: it cannot be read.
    """
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
