"""Values of arguments that are not written in JSON, as JSON of the type that the tool asks for."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from serve.pipeline.model_dialects.reading import Reader, Wait

_PYTHON_QUOTES = ("'", '"')
"""Either may stand where one of them does."""
_NO_VALUE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
_STRUCTURE = ",()[]{}"
_CDATA, _CDATA_END = "<![CDATA[", "]]>"
"""What some write around a value with characters that XML would have to escape."""
_WORDS = re.compile(r"\b(?:True|False|None)\b(?!\")")
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_][\w.-]*)(\s*:)")


def json_of(
    text: str, schema: Mapping[str, Any], key: str, *, quote: str = "", is_text: bool | None = None
) -> str:
    """The JSON of a value.

    Args:
        text: as the model wrote it.
        schema: of the tool's arguments.
        key: the argument's name.
        quote: what stands around strings; without it they are written as they are.
        is_text: whether it is a string, where the model says so; None is by the schema.
    """
    if text.startswith(_CDATA) and text.endswith(_CDATA_END):
        text = text[len(_CDATA) : -len(_CDATA_END)]
    if not quote:
        if is_text is None:
            is_text = _is_text(schema, key)
        if is_text:
            return json.dumps(text, ensure_ascii=False)
    stripped = text.strip()
    if quote and quote not in _PYTHON_QUOTES:
        stripped = _with_json_quotes(stripped, quote)
    for read in (_json, ast.literal_eval):
        try:
            return json.dumps(read(stripped), ensure_ascii=False, allow_nan=False)
        except _NO_VALUE:
            continue
    return json.dumps(text, ensure_ascii=False)


def quoted_value(reader: Reader, quote: str) -> Wait[str]:
    """A value as it is written, up to the comma or bracket behind it.

    Args:
        quote: what stands around strings.
    """
    parts: list[str] = []
    depth = 0
    quotes = _PYTHON_QUOTES if quote in _PYTHON_QUOTES else (quote,)
    marks = re.compile("[" + re.escape(_STRUCTURE + "".join(one[0] for one in quotes)) + "]")
    yield from reader.skip_space()
    while True:
        yield from reader.plain(marks, parts.append)
        character = yield from reader.peek()
        opened = yield from _opened(reader, quotes)
        if opened:
            parts += (opened, (yield from _string(reader, opened)), opened)
        elif depth == 0 and character in ",)]}":
            return "".join(parts)
        else:
            depth += (character in "([{") - (character in ")]}")
            parts.append(character)
            reader.at += 1
        if depth == 0 and opened and quotes != _PYTHON_QUOTES:
            return "".join(parts)


def _opened(reader: Reader, quotes: Sequence[str]) -> Wait[str]:
    """The quotes that begin here, which are read; empty where none do."""
    for one in quotes:
        if (yield from reader.begins(one)):
            return one
    return ""


def _string(reader: Reader, quote: str) -> Wait[str]:
    """The inside of a string up to its quotes, which are read."""
    if quote not in _PYTHON_QUOTES:
        return (yield from reader.until([quote]))[0]
    parts: list[str] = []
    marks = re.compile(rf"[\\{quote}]")
    while True:
        yield from reader.plain(marks, parts.append)
        character = yield from reader.peek()
        reader.at += 1
        if character == quote:
            return "".join(parts)
        parts += (character, (yield from reader.peek()))
        reader.at += 1


def _with_json_quotes(text: str, quote: str) -> str:
    """Text with JSON's quotes around strings and keys."""
    parts = text.split(quote)
    for at in range(len(parts)):
        inside = at % 2 == 1
        parts[at] = (
            json.dumps(parts[at], ensure_ascii=False)
            if inside
            else _WORDS.sub(_in_json, _BARE_KEY.sub(r'\1"\2"\3', parts[at]))
        )
    return "".join(parts)


def _in_json(word: re.Match[str]) -> str:
    """Python's word for what is true, false or nothing, as JSON's."""
    return {"True": "true", "False": "false"}.get(word[0], "null")


def _is_text(schema: Mapping[str, Any], key: str) -> bool:
    """Whether the tool asks for a string, and nothing else, under this key."""
    properties = schema.get("properties")
    declared = properties.get(key) if isinstance(properties, Mapping) else None
    kind = declared.get("type") if isinstance(declared, Mapping) else None
    return kind in ("string", ["string"])


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(_word: str) -> Any:
    raise ValueError
