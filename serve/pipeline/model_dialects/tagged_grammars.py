"""The grammar of arguments that are written one by one between literals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from serve.engine.grammars.grammar import Grammar
from serve.pipeline.model_dialects.dialect import TaggedCall
from serve.pipeline.model_dialects.lark import Lark

_KEEP = ("$defs", "definitions")


def tagged_arguments(lark: Lark, body: TaggedCall, schema: Mapping[str, Any]) -> str:
    """All arguments of a call, in the order in which the tool names them.

    Those that are not required may be left out. Where the tool names none, any may come.
    """
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return f"{_any_argument(lark, body)}*" if _is_open(schema) else ""
    listed = schema.get("required")
    required = listed if isinstance(listed, list) else []
    parts = []
    for number, (key, declared) in enumerate(properties.items()):
        separator = lark.literal(body.separator) if number else ""
        value = _value(lark, body, declared, schema)
        one = f"{separator} {lark.literal(body.key_open + key + body.key_end)} {value}"
        parts.append(one if key in required else f"({one})?")
    return " ".join(parts)


def _is_open(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is not False


def _any_argument(lark: Lark, body: TaggedCall) -> str:
    opened = lark.literal(body.key_open)
    key = lark.up_to(body.key_end) if body.key_end.strip() else "/[A-Za-z0-9_]+/"
    value = (
        lark.part(Grammar(kind="json_schema", text="{}"))
        if body.quote
        else lark.up_to(body.value_end)
    )
    return f"({opened} {key} {value})"


def _value(lark: Lark, body: TaggedCall, declared: Any, schema: Mapping[str, Any]) -> str:
    """A value and the literal behind it."""
    end = lark.literal(body.value_end)
    is_text = isinstance(declared, Mapping) and declared.get("type") == "string"
    if is_text and not body.quote:
        choices = declared.get("enum")
        if isinstance(choices, list) and choices and all(isinstance(one, str) for one in choices):
            return f"({' | '.join(lark.literal(one) for one in choices)}) {end}"
        return lark.up_to(body.value_end)
    inner = declared if isinstance(declared, Mapping) else {}
    kept = {key: schema[key] for key in _KEEP if key in schema}
    text = json.dumps({**kept, **inner}, ensure_ascii=False)
    return f"{lark.part(Grammar(kind='json_schema', text=text, is_compact=True))} {end}"
