"""Rules for configurations: no code to import, no other model or file to fetch.

Every JSON file of a model folder but its vocabularies counts as a configuration, at every depth,
because loaders hand keys down (``text_config``) and take defaults from unexpected places. To refuse
another key, add it to REFUSED_KEYS or FETCHING_KEYS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from models.rules import config_sizes

REFUSED_KEYS = {
    "auto_map": "it names code to import; delete the key if transformers knows the architecture",
    "custom_pipelines": "it names code to import",
    "custom_generate": "it names code to import",
    "_target_": "it names code to import",
}
"""Refused whatever their value. ``trust_remote_code`` is refused where it is not false."""

FETCHING_KEYS = frozenset(
    {
        "base_model",
        "base_model_name_or_path",
        "peft_config",
        "speculative_model",
        "speculative_config",
        "speculators_config",
        "draft_model",
        "assistant_model",
        "tokenizer_file",
        "vocab_file",
        "merges_file",
        "remote_path",
        "download_url",
        "weights_url",
    }
)
"""Refused where they name something: a loader would open or fetch it. ``_name_or_path`` is only a
note of where a checkpoint came from, and is not among them."""

_CODE_WORDS = re.compile(
    r"(?:^|_)(?:auto_map|module|import|loader|callable|function|factory|code|kernel|kernels|"
    r"plugin|class|path|file|url|repo|repo_id)$"
)
_QUANT_KEYS = ("quantization_config", "compression_config")
_IMPLEMENTATION = "_implementation"
_HARMLESS_QUANT = frozenset({"linear_class"})
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def fault(key: str, value: Any) -> tuple[str, str] | None:
    """Rule and reason why this pair of a configuration is refused; None where it is not."""
    code = _code(key, value) or _named_class(key, value) or _quantization(key, value)
    if code is not None:
        return "remote-code", code
    fetched = _fetched(key, value)
    if fetched is not None:
        return "fetch", fetched
    size = config_sizes.fault(key, value)
    return None if size is None else ("size", size)


def _code(key: str, value: Any) -> str | None:
    if key in REFUSED_KEYS:
        return f"its key {key!r} is refused: {REFUSED_KEYS[key]}"
    if key == "trust_remote_code" and value not in (None, False):
        return "its key 'trust_remote_code' is refused: a model brings no code of its own"
    if key.endswith(_IMPLEMENTATION) and any("/" in text for text in _strings(value)):
        return f"its key {key!r} names a kernel to download"
    return None


def _named_class(key: str, value: Any) -> str | None:
    """Names that loaders look up in their own tables, never a path or a module."""
    match key, value:
        case "architectures", list():
            bad = [name for name in value if not _is(name, _IDENTIFIER)]
        case "tokenizer_class" | "processor_class" | "config_class" | "image_processor_type", _:
            bad = [] if value is None or _is(value, _IDENTIFIER) else [value]
        case "model_type", _:
            bad = [] if value is None or value == "" or _is(value, _WORD) else [value]
        case _:
            return None
    return f"its key {key!r} holds {_short(bad[0])}, which is no plain name" if bad else None


def _fetched(key: str, value: Any) -> str | None:
    """Files that a loader would open beside those that it finds itself."""
    if key in FETCHING_KEYS and value not in (None, "", {}, [], False):
        return f"its key {key!r} is refused: it names another model or file to load"
    match key, value:
        case (("transformers_weights" | "weights_name"), str()):
            bad = [] if _is(value, _FILE_NAME) and ".safetensors" in value else [value]
        case "fast_tokenizer_files", list():
            bad = [name for name in value if not _is(name, _FILE_NAME)]
        case "backbone", str() if "/" in value:
            bad = [value]
        case "use_pretrained_backbone", True:
            return "its key 'use_pretrained_backbone' fetches another model"
        case _:
            return None
    if not bad:
        return None
    return f"its key {key!r} names {_short(bad[0])}, which is no plain file of this folder"


def _quantization(key: str, value: Any) -> str | None:
    """``quantization_config`` describes numbers; what names a module or a file is code."""
    if key not in _QUANT_KEYS or value is None:
        return None
    if not isinstance(value, dict):
        return f"its key {key!r} is no table"
    method = value.get("quant_method")
    if method is not None and not _is(method, _WORD):
        return f"its key 'quant_method' holds {_short(method)}, which is no plain name"
    for inner, content in _pairs(value):
        if inner in _HARMLESS_QUANT or not isinstance(content, str) or not content:
            continue
        if _CODE_WORDS.search(inner.lower()):
            return f"its key {key!r} names code or a file ({inner!r}: {_short(content)})"
    return None


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every pair within. What lies under another of _QUANT_KEYS was searched on its own account:
    else each level of such keys within each other would search all that is below it again.
    """
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            for key, content in node.items():
                yield key, content
                if key not in _QUANT_KEYS:
                    left.append(content)
        elif isinstance(node, list):
            left.extend(node)


def _strings(value: Any) -> Iterator[str]:
    """Every text within, but under another key that ends in _IMPLEMENTATION, as in `_pairs`."""
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            left.extend(
                content for key, content in node.items() if not key.endswith(_IMPLEMENTATION)
            )
        elif isinstance(node, list):
            left.extend(node)


def _is(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _short(value: object) -> str:
    return repr(value)[:80]
