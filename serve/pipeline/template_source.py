"""A model folder's chat templates, and the special tokens that they may name. No Jinja here.

As transformers reads them: ``chat_template.jinja`` and ``additional_chat_templates/NAME.jinja``
stand before tokenizer_config.json, whose ``chat_template`` is one text, a table by name, or a list
of ``{"name": ..., "template": ...}``. Where none of them has one, ``chat_template.json`` is read,
in which older multimodal models keep theirs.

Special tokens are tokenizer_config.json's, and special_tokens_map.json's where that names more. A
folder of the older kind, without ``added_tokens_decoder``, has its last word in the map. Tokens
that transformers knows by a tokenizer's class alone are not known here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serve.errors import StartupError

DEFAULT, TOOL_USE = "default", "tool_use"

log = logging.getLogger(__name__)


def templates_of(folder: Path, tokenizer_config: Mapping[str, Any]) -> dict[str, str]:
    """Sources by name; empty where the model has none. One alone is named ``default``.

    Raises:
        StartupError: a file is not UTF-8 or not JSON, or an entry is no template.
    """
    named = _in_files(folder)
    if not named:
        named = _by_name("tokenizer_config.json", tokenizer_config.get("chat_template"))
    if not named:
        older = _json(folder / "chat_template.json")
        named = _by_name("chat_template.json", older.get("chat_template"))
    named = {name: source for name, source in named.items() if source.strip()}
    if len(named) == 1 and DEFAULT not in named:
        [(name, source)] = named.items()
        log.warning("the only chat template is named %r: it is used for every chat", name[:60])
        return {DEFAULT: source}
    return named


def special_tokens_of(folder: Path, tokenizer_config: Mapping[str, Any]) -> dict[str, str]:
    """The text of ``bos_token``, ``eos_token`` and so on.

    Raises:
        StartupError: special_tokens_map.json is not JSON, or a token has no text.
    """
    further = _json(folder / "special_tokens_map.json")
    is_older = "added_tokens_decoder" not in tokenizer_config
    merged = {**tokenizer_config, **further} if is_older else {**further, **tokenizer_config}
    named = merged.get("extra_special_tokens")
    if isinstance(named, Mapping):
        merged = {**named, **merged}
    tokens = {}
    for name, value in merged.items():
        if not name.endswith("_token") or isinstance(value, bool) or value is None:
            continue  # `add_bos_token` and its like are switches
        text = value.get("content") if isinstance(value, Mapping) else value
        if not isinstance(text, str):
            raise StartupError(
                f"{name[:60]} in the tokenizer's configuration is neither text nor an object with "
                "its text as 'content'. Correct it there."
            )
        tokens[name] = text
    return tokens


def _in_files(folder: Path) -> dict[str, str]:
    named = {}
    file = folder / "chat_template.jinja"
    if file.is_file():
        named[DEFAULT] = _text(file)
    for further in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        named[further.name.removesuffix(".jinja")] = _text(further)
    return named


def _by_name(file: str, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: value}
    if isinstance(value, Mapping):
        rows = list(value.items())
    elif isinstance(value, list):
        rows = [
            (row.get("name"), row.get("template")) if isinstance(row, Mapping) else (None, None)
            for row in value
        ]
    else:
        rows = [(None, None)]
    for name, source in rows:
        if not isinstance(name, str) or not isinstance(source, str):
            raise StartupError(
                f"{file}: chat_template is neither a text, nor texts by name, nor a list of "
                "objects with 'name' and 'template', both text. Correct it, or put the template "
                "into chat_template.jinja."
            )
    return {str(name): str(source) for name, source in rows}


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")  # an editor's mark is no part of any prompt
    except UnicodeDecodeError:
        raise StartupError(f"{file.name} is not UTF-8. Store the template in UTF-8.") from None


def _json(file: Path) -> Mapping[str, Any]:
    """The object in a file; empty where there is no file."""
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError):
        raise StartupError(f"{file.name} is not JSON in UTF-8. Fetch the model again.") from None
    if not isinstance(value, Mapping):
        raise StartupError(f"{file.name} is not a JSON object. Fetch the model again.")
    return value
