"""Reading a checkpoint's ``response_template``, the field in which a model says how it answers.

The format is transformers' (utils/chat_parsing, version 1): fields with an opening and a closing
anchor, literals or regular expressions. No regular expression of a model folder is ever run here:
one that is nothing but literals, white space and named groups is read as what it says; any other
leaves its field to what the chat template shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from serve.pipeline.model_dialects.dialect import (
    CallSyntax,
    JsonCall,
    JsonPath,
    ModelDialect,
    NamedCall,
    Piece,
    ReasoningSyntax,
    TaggedCall,
)

MAX_PATTERN_CHARS = 512
"""Of a pattern, a literal, or a placeholder."""
THINKING = ("thinking", "reasoning", "reasoning_content")
_GROUP = re.compile(r"\(\?P<(?P<name>[a-z_]+)>(?:[^()\\]|\\.)*\)")
_LOOSE_SPACE = re.compile(r"\\s[*+]\??|\\n[?*]|\\s\?")
_META = re.compile(r"[.^$*+?{}\[\]|()]")
_PLACEHOLDER = re.compile(r"\{([\w.]+)\}")


def read_response_template(value: Any) -> ModelDialect | None:
    """The dialect that a response_template describes; None where it describes none that is known.

    Args:
        value: ``response_template`` of tokenizer_config.json, any JSON.
    """
    if not isinstance(value, Mapping) or value.get("version", 1) != 1:
        return None
    fields = value.get("fields")
    if not isinstance(fields, Mapping):
        return None
    given = {name: field for name, field in fields.items() if isinstance(field, Mapping)}
    thinking = next((given[name] for name in THINKING if name in given), None)
    reasoning = None if thinking is None else _reasoning(thinking)
    calls = _calls(given["tool_calls"]) if "tool_calls" in given else None
    if reasoning is None and calls is None:
        return None
    return ModelDialect(
        name="response_template", source="response_template", reasoning=reasoning, calls=calls
    )


def _reasoning(field: Mapping[str, Any]) -> ReasoningSyntax | None:
    opened, closed = _literal(field, "open"), _literal(field, "close")
    return ReasoningSyntax(open=opened, close=closed) if opened and closed else None


def _calls(field: Mapping[str, Any]) -> CallSyntax | None:
    opened = _anchor(field, "open")
    closed = _literal(field, "close") or ""
    if opened is None:
        return None
    content = field.get("content", "text")
    names = [piece.text for piece in opened if piece.is_hole]
    arguments = field.get("content_args")
    given = arguments if isinstance(arguments, Mapping) else {}
    if content == "json" and not names:
        return _json_calls(field, _joined(opened), closed)
    if names != ["name"]:
        return None
    at = opened.index(Piece("name", is_hole=True))
    start, end = _joined(opened[:at]), _joined(opened[at + 1 :])
    if content == "json":
        pieces = (Piece("name", is_hole=True), Piece(end), Piece("arguments", is_hole=True))
        return CallSyntax(open=start, body=NamedCall(name_end=end), pieces=pieces, close=closed)
    if content == "xml-inline":
        body = _tagged(given.get("tag_pattern"), end)
        return None if body is None else CallSyntax(open=start, body=body, close=closed)
    return None


def _json_calls(field: Mapping[str, Any], opened: str, closed: str) -> CallSyntax | None:
    transform = field.get("transform")
    function = transform.get("function", transform) if isinstance(transform, Mapping) else None
    if not isinstance(function, Mapping):
        return None
    name, arguments = (_path(function.get(key)) for key in ("name", "arguments"))
    if not name or not arguments or len(name) > 1 or len(arguments) > 1:
        return None
    pieces = (
        Piece(f'{{"{name[0]}": "'),
        Piece("name", is_hole=True),
        Piece(f'", "{arguments[0]}": '),
        Piece("arguments", is_hole=True),
        Piece("}"),
    )
    body = JsonCall(name=name, arguments=arguments)
    if field.get("transform_each"):
        return CallSyntax(
            section_open=f"{opened}[",
            body=body,
            pieces=pieces,
            separator=", ",
            section_close=f"]{closed}",
        )
    return CallSyntax(open=opened, body=body, pieces=pieces, close=closed)


def _path(placeholder: Any) -> JsonPath:
    if not isinstance(placeholder, str) or len(placeholder) > MAX_PATTERN_CHARS:
        return ()
    match = _PLACEHOLDER.fullmatch(placeholder)
    return () if match is None else tuple(match[1].removeprefix("content.").split("."))


def _tagged(pattern: Any, name_end: str) -> TaggedCall | None:
    pieces = pattern_pieces(pattern)
    if pieces is None or [one.text for one in pieces if one.is_hole] != ["key", "value"]:
        return None
    key, value = (pieces.index(Piece(name, is_hole=True)) for name in ("key", "value"))
    return TaggedCall(
        name_end=name_end,
        key_open=_joined(pieces[:key]),
        key_end=_joined(pieces[key + 1 : value]),
        value_end=_joined(pieces[value + 1 :]),
    )


def _anchor(field: Mapping[str, Any], key: str) -> list[Piece] | None:
    literal = _literal(field, key)
    return pattern_pieces(field.get(f"{key}_pattern")) if literal is None else [Piece(literal)]


def _literal(field: Mapping[str, Any], key: str) -> str | None:
    """The literal of an anchor; the first of several, which are forms of one."""
    value = field.get(key)
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_PATTERN_CHARS:
        return None
    return value


def pattern_pieces(pattern: Any) -> list[Piece] | None:
    """A regular expression as literals and named groups; None where it is more than that."""
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_PATTERN_CHARS:
        return None
    pieces: list[Piece] = []
    at = 0
    for group in [*_GROUP.finditer(pattern), None]:
        literal = _plain(pattern[at : group.start() if group else len(pattern)])
        if literal is None:
            return None
        if literal:
            pieces.append(Piece(literal))
        if group is not None:
            pieces.append(Piece(group["name"], is_hole=True))
            at = group.end()
    return pieces


def _plain(part: str) -> str | None:
    """The text that a part of a pattern stands for; white space that may be there counts as one
    line break.
    """
    part = _LOOSE_SPACE.sub("\n", part)
    plain, at = "", 0
    while at < len(part):
        if part[at] == "\\":
            escaped = part[at + 1 : at + 2]
            if not escaped or (escaped.isalnum() and escaped not in "nt"):
                return None
            plain += {"n": "\n", "t": "\t"}.get(escaped, escaped)
            at += 2
        elif _META.match(part[at]):
            return None
        else:
            plain += part[at]
            at += 1
    return plain


def _joined(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
