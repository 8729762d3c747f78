"""The three forms of a call, read out of a rendering in which sentinels stand for what varies.

One JSON object; a name before a JSON object; a name before each argument by itself. A reading says
where the call's own part stands, and what the literals in it are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from serve.pipeline.model_dialects.dialect import (
    CallBody,
    JsonCall,
    JsonPath,
    NamedCall,
    Piece,
    TaggedCall,
)
from serve.pipeline.model_dialects.probing import IDS, KEYS, VALUES, atoms

_DECODER = json.JSONDecoder()
_QUOTE = re.compile(r"(<[^<>\s]+>|[\"'])$")


@dataclass(frozen=True, slots=True)
class Form:
    """A call in a rendering.

    Attributes:
        start, end: where its own part stands, without the literals that are around any call.
        pieces: empty where arguments are written one by one.
    """

    start: int
    end: int
    body: CallBody
    pieces: tuple[Piece, ...] = ()


ReadForm = Callable[[str, str], Form | None]
"""Reads the first call of a function out of a rendering: text, and the function's name."""


def forms(names: Sequence[str]) -> list[ReadForm]:
    """The forms, in the order in which they are tried.

    Args:
        names: of tokens, which are never cut.
    """
    return [json_form, named_form, lambda text, name: tagged_form(text, name, names)]


def json_form(text: str, name: str) -> Form | None:
    """A call that is one JSON object, as ``{"name": ..., "arguments": ...}``."""
    for start, end, value in _objects(text):
        paths = dict(_paths(value))
        name_path = next((path for path, found in paths.items() if found == name), None)
        arguments = next((path for path, found in paths.items() if _is_arguments(found)), None)
        if name_path is None or arguments is None:
            continue
        body = JsonCall(
            name=name_path,
            arguments=arguments,
            id=next((path for path, found in paths.items() if found in IDS), None),
            arguments_are_text=isinstance(paths[arguments], str),
        )
        return Form(start, end, body, _json_pieces(text[start:end], name, paths[arguments]))
    return None


def named_form(text: str, name: str) -> Form | None:
    """A call with its name before a JSON object of arguments, and perhaps an id beside it."""
    at = text.find(name)
    behind = at + len(name)
    for start, end, value in _objects(text) if at >= 0 else ():
        if start < behind or not _is_arguments(value):
            continue
        between = text[behind:start]
        pieces = [Piece("name", is_hole=True)]
        name_open = name_end = id_end = None
        call_id = next((one for one in IDS if one in between), None)
        if call_id is not None:
            name_end, id_end = between.split(call_id, 1)
            pieces += [Piece(name_end), Piece("id", is_hole=True), Piece(id_end)]
        else:
            name_end = between
            pieces.append(Piece(between))
            before = max(((text.rfind(one, 0, at), one) for one in IDS), default=(-1, ""))
            if before[0] >= 0:
                at, call_id = before
                name_open = text[at + len(call_id) : behind - len(name)]
                pieces = [Piece("id", is_hole=True), Piece(name_open), *pieces]
        pieces.append(Piece("arguments", is_hole=True))
        body = NamedCall(name_open=name_open, name_end=name_end, id_end=id_end)
        return Form(at, end, body, tuple(pieces))
    return None


def tagged_form(text: str, name: str, names: Sequence[str]) -> Form | None:
    """A call with its name before each argument by itself."""
    at = text.find(name)
    key, second_key = (text.find(one, at) for one in KEYS)
    if at < 0 or not at < key < second_key:
        return None
    value, second_value = (text.find(one, key) for one in VALUES)
    second_value = text.find(VALUES[1], second_key)
    if not key < value < second_key < second_value:
        return None
    before = text[at + len(name) : key]
    key_end = text[key + len(KEYS[0]) : value]
    between = text[value + len(VALUES[0]) : second_key]
    end = second_value + len(VALUES[1])
    quote = _quote(key_end, between)
    if quote:
        key_end, between, end = key_end[: -len(quote)], between[len(quote) :], end + len(quote)
    key_open = common_suffix(before, between, names)
    rest = between[: len(between) - len(key_open)]
    value_end = common_prefix(rest, text[end:], names)
    body = TaggedCall(
        name_end=before[: len(before) - len(key_open)],
        key_open=key_open,
        key_end=key_end,
        value_end=value_end,
        separator=rest[len(value_end) :],
        quote=quote,
    )
    return Form(at, end + len(value_end), body)


def common_prefix(first: str, second: str, names: Sequence[str]) -> str:
    """The beginning that two texts share, in whole atoms."""
    pairs = zip(atoms(first, names), atoms(second, names), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def common_suffix(first: str, second: str, names: Sequence[str]) -> str:
    """The end that two texts share, in whole atoms."""
    pairs = zip(reversed(atoms(first, names)), reversed(atoms(second, names)), strict=False)
    alike = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return "".join(reversed(alike))


def numbered(first: Form, second: Form | None) -> Form:
    """The form of a call, with a hole for a number where two calls differ in nothing else."""
    if second is None or len(first.pieces) != len(second.pieces):
        return first
    pieces: list[Piece] = []
    for one, other in zip(first.pieces, second.pieces, strict=True):
        if one.is_hole or one.text == other.text:
            pieces.append(one)
            continue
        parts, others = re.split(r"\d+", one.text), re.split(r"\d+", other.text)
        if parts != others or len(parts) != 2:
            return first
        pieces += [Piece(parts[0]), Piece("number", is_hole=True), Piece(parts[1])]
    body = first.body
    if isinstance(body, NamedCall) and "number" in {one.text for one in pieces if one.is_hole}:
        parts = re.split(r"\d+", body.name_end, maxsplit=1)
        if len(parts) < 2:
            return first  # the number stands elsewhere
        body = NamedCall(name_open=body.name_open, name_end=parts[0], id_end=parts[1])
    return Form(first.start, first.end, body, tuple(pieces))


def _quote(key_end: str, between: str) -> str:
    """The quotes around a text, where the same stand on both of its sides."""
    match = _QUOTE.search(key_end)
    return match[0] if match is not None and between.startswith(match[0]) else ""


def _json_pieces(text: str, name: str, arguments: Any) -> tuple[Piece, ...]:
    """Literals and holes of a JSON call as it stands in a rendering."""
    marks = [("name", name, text.find(f'"{name}"') + 1)]
    marks += [("id", one, text.find(one)) for one in IDS if one in text]
    if isinstance(arguments, str):
        written = json.dumps(arguments)[1:-1]
    else:
        found = next(((s, e) for s, e, value in _objects(text) if value == arguments), None)
        written = "" if found is None else text[found[0] : found[1]]
    if not written or written not in text:
        return ()
    marks.append(("arguments", written, text.find(written)))
    pieces: list[Piece] = []
    at = 0
    for hole, content, start in sorted(marks, key=lambda mark: mark[2]):
        if start < at:
            return ()
        pieces += [Piece(text[at:start]), Piece(hole, is_hole=True)]
        at = start + len(content)
    return (*pieces, Piece(text[at:]))


def _objects(text: str) -> Iterator[tuple[int, int, Any]]:
    """JSON objects in a text by where they begin, outer ones first: start, end and value."""
    for match in re.finditer(r"\{", text):
        try:
            value, end = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        yield match.start(), end, value


def _paths(value: Any, path: JsonPath = ()) -> Iterator[tuple[JsonPath, Any]]:
    """Everything in an object that is not the arguments' own inside, by its keys."""
    if path and (_is_arguments(value) or not isinstance(value, dict)):
        if isinstance(value, str | dict):
            yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))


def _is_arguments(value: Any) -> bool:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
    return bool(value == dict(zip(KEYS, VALUES, strict=True)))
