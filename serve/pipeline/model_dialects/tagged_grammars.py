"""The grammar of arguments that are written one by one between literals."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from serve.engine.grammars.grammar import Grammar
from serve.pipeline.model_dialects.dialect import KEY_MARK, TaggedCall
from serve.pipeline.model_dialects.lark import Lark

_KEEP = ("$defs", "definitions")
_JSON_QUOTES = ("", "'", '"')


def tagged_arguments(lark: Lark, body: TaggedCall, schema: Mapping[str, Any]) -> str:
    """All arguments of a call, in the order in which the tool names them.

    Those that are not required may be left out. Where the tool names none, any may come.
    """
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        is_open = schema.get("additionalProperties") is not False
        return _any_arguments(lark, body) if is_open else ""
    listed = schema.get("required")
    required = listed if isinstance(listed, list) else []
    kept = {key: schema[key] for key in _KEEP if key in schema}
    written = [
        (key, _argument(lark, body, key, declared, kept)) for key, declared in properties.items()
    ]
    if not body.separator.strip():
        return " ".join(one if key in required else f"({one})?" for key, one in written)
    return _separated(lark, body, written, required)


def _separated(
    lark: Lark, body: TaggedCall, written: Sequence[tuple[str, str]], required: Collection[str]
) -> str:
    """Arguments between which a separator stands, whichever of them come."""
    separator, rest = lark.literal(body.separator), ""
    first: list[str] = []
    for at in reversed(range(len(written))):
        key, one = written[at]
        first.insert(0, f"{one} {rest}")
        behind = f"{separator} {one}"
        rest = f"{behind if key in required else f'({behind})?'} {rest}"
        if key in required:
            first = first[:1]
    chosen = f"({' | '.join(first)})"
    return chosen if any(key in required for key, _ in written) else f"{chosen}?"


def _argument(
    lark: Lark, body: TaggedCall, key: str, declared: Any, kept: Mapping[str, Any]
) -> str:
    """An argument: its key, its value, and what is around them."""
    inner = declared if isinstance(declared, Mapping) else {}
    is_text = inner.get("type") == "string"
    between = body.key_end if is_text or body.key_end_other is None else body.key_end_other
    opened = lark.literal(body.key_open + key + between)
    value_end = body.value_end.replace(KEY_MARK, key)
    end = lark.literal(value_end)
    if is_text and not body.quote:
        choices = inner.get("enum")
        if isinstance(choices, list) and choices and all(isinstance(one, str) for one in choices):
            return f"{opened} ({' | '.join(lark.literal(one) for one in choices)}) {end}"
        return f"{opened} {lark.up_to(value_end)}"
    return f"{opened} {_value(lark, body, {**kept, **inner})} {end}"


def _value(lark: Lark, body: TaggedCall, schema: Mapping[str, Any]) -> str:
    """A value as JSON, or in Python's words for what is true, false or nothing."""
    if body.quote not in _JSON_QUOTES:
        return lark.up_to_any_of(",}", quote=body.quote)
    text = json.dumps(schema, ensure_ascii=False)
    options = [lark.part(Grammar(kind="json_schema", text=text, is_compact=not body.quote))]
    kind = schema.get("type")
    if kind in (None, "boolean"):
        options += ['"True"', '"False"']
    if kind in (None, "null"):
        options.append('"None"')
    return f"({' | '.join(options)})"


def _any_arguments(lark: Lark, body: TaggedCall) -> str:
    """Any arguments, none included."""
    opened = lark.literal(body.key_open)
    ends = [end for end in (body.key_end, body.key_end_other) if end is not None]
    if body.key_open.strip():
        keys = [lark.up_to(end) for end in ends]
    else:  # nothing tells a key from what is behind the last argument but its letters
        keys = [f"/[A-Za-z0-9_]+/ {lark.literal(end)}" for end in ends]
    key = f"({' | '.join(keys)})"
    head, *again = body.value_end.split(KEY_MARK)
    end = "".join(f" /[A-Za-z0-9_.-]+/ {lark.literal(part)}" for part in again)
    if body.quote:
        value = f"{_value(lark, body, {})} {lark.literal(head)}{end}"
    else:
        value = f"{lark.up_to(head)}{end}"
    one = f"{opened} {key} {value}"
    if not body.separator.strip():
        return f"({one})*"
    return f"({one} ({lark.literal(body.separator)} {one})*)?"
