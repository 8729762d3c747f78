"""Deriving a model's dialect from its chat template: sentinels go in, and the literals around them
come out.

The idea of comparing renderings is llama.cpp's; here the template itself runs. What comes out is
one of three kinds of calls: one JSON object, a name before a JSON object, or a name before each
argument by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
from serve.pipeline.model_dialects.probing import (
    CONTENT,
    FIRST,
    IDS,
    KEYS,
    SECOND,
    THOUGHT,
    VALUES,
    Probe,
    calls,
    common_prefix,
)

THINK_TAGS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("◁think▷", "◁/think▷"),
)
"""Tags that a template may cut out of its history without ever writing them."""
THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_text")
_DECODER = json.JSONDecoder()


def derive(probe: Probe, source: str) -> ModelDialect:
    """The dialect of a template; its parts are None where it says nothing of them.

    Args:
        source: the template's own text, in which tags are looked for that no rendering shows.
    """
    return ModelDialect(
        name="template", source="derived", reasoning=_reasoning(probe, source), calls=_calls(probe)
    )


def _reasoning(probe: Probe, source: str) -> ReasoningSyntax | None:
    thoughts = dict.fromkeys(THOUGHT_FIELDS, THOUGHT)
    text = probe.answer({"content": CONTENT, **thoughts}, CONTENT)
    if text is not None and THOUGHT in text and text.find(THOUGHT) < text.find(CONTENT):
        before, behind = text[: text.find(CONTENT)].split(THOUGHT, 1)
        before = probe.opening() + before if not before.strip() else before
        if before.strip() and behind.strip():
            return ReasoningSyntax(open=before.lstrip(), close=behind)
    opening = probe.opening()
    for opened, closed in THINK_TAGS:
        if closed in source or opening.strip().endswith(opened):
            return ReasoningSyntax(open=f"{opened}\n", close=f"\n{closed}\n\n")
    return None


def _calls(probe: Probe) -> CallSyntax | None:
    both = dict(zip(KEYS, VALUES, strict=True))
    one = _cleaned(probe.answer(calls(both), *VALUES, FIRST))
    if one is None or FIRST not in one:
        return None
    two = _cleaned(probe.answer(calls(both, both), *VALUES, SECOND))
    if two is None or FIRST not in two or SECOND not in two:
        two = None  # a template of one call a turn
    reader = next(
        (made for made in (_json_form, _named_form, _tagged_form) if made(one) is not None), None
    )
    if reader is None:
        return None
    form = reader(one)
    if form is None:
        return None
    start, end, body, pieces = form
    outer = _around(one, start, end, two, reader)
    return CallSyntax(
        body=body,
        pieces=pieces,
        lead=_lead(probe, both, outer),
        **outer,
        **_separators(one),
    )


_Form = tuple[int, int, JsonCall | NamedCall | TaggedCall, tuple[Piece, ...]]


def _json_form(text: str, name: str = FIRST) -> _Form | None:
    """A call that is one JSON object, as ``{"name": ..., "arguments": ...}``."""
    for start, end, value in _objects(text):
        paths = dict(_paths(value))
        by_value = {_plain(found): path for path, found in paths.items()}
        name_path = by_value.get(name)
        arguments = next((path for path, found in paths.items() if _is_arguments(found)), None)
        if name_path is None or arguments is None:
            continue
        call_id = next((path for path, found in paths.items() if found in IDS), None)
        body = JsonCall(
            name=name_path,
            arguments=arguments,
            id=call_id,
            arguments_are_text=isinstance(paths[arguments], str),
        )
        return start, end, body, _pieces(text[start:end], name, paths[arguments])
    return None


def _named_form(text: str, name: str = FIRST) -> _Form | None:
    """A call with its name before a JSON object of arguments."""
    at = text.find(name)
    if at < 0:
        return None
    behind = at + len(name)
    for start, end, value in _objects(text):
        if start < behind or not _is_arguments(value):
            continue
        between = text[behind:start]
        call_id = next((one for one in IDS if one in between), None)
        name_end, id_end = (between, None) if call_id is None else between.split(call_id, 1)
        pieces = [Piece("name", is_hole=True), Piece(name_end)]
        if id_end is not None:
            pieces += [Piece("id", is_hole=True), Piece(id_end)]
        pieces.append(Piece("arguments", is_hole=True))
        return at, end, NamedCall(name_end=name_end, id_end=id_end), tuple(pieces)
    return None


def _tagged_form(text: str, name: str = FIRST) -> _Form | None:
    """A call with its name before each argument by itself."""
    at = text.find(name)
    key, second_key = (text.find(one, at) for one in KEYS)
    if at < 0 or not at < key < second_key:
        return None
    value = text.find(VALUES[0], key)
    second_value = text.find(VALUES[1], second_key)
    if not key < value < second_key < second_value:
        return None
    before = text[at + len(name) : key]
    key_end = text[key + len(KEYS[0]) : value]
    between = text[value + len(VALUES[0]) : second_key]
    behind = text[second_value + len(VALUES[1]) :]
    quote = key_end[-1:] if key_end[-1:] in ("'", '"') and between[:1] == key_end[-1:] else ""
    if quote:
        key_end, between, behind = key_end[:-1], between[1:], behind[1:]
    key_open = _common_suffix(before, between)
    value_end = _common_prefix(between[: len(between) - len(key_open)], behind)
    body = TaggedCall(
        name_end=before[: len(before) - len(key_open)],
        key_open=key_open,
        key_end=key_end,
        value_end=value_end,
        separator=between[len(value_end) : len(between) - len(key_open)],
        text_is_quoted=bool(quote),
        quote=quote or '"',
    )
    end = second_value + len(VALUES[1]) + len(quote) + len(value_end)
    return at, end, body, ()


def _around(text: str, start: int, end: int, two: str | None, reader: Any) -> dict[str, str]:
    """The literals around a call, and between two."""
    before, behind = text[:start], text[end:]
    second = two and _second(two, reader)
    if not second or two is None:
        return {"section_open": "", "open": before, "close": behind.rstrip()}
    first_end, second_start, second_end = second
    between, behind = two[first_end:second_start], two[second_end:]
    opened = _common_suffix(before, between)
    rest = between[: len(between) - len(opened)]
    closed = _common_prefix(rest, behind)
    return {
        "section_open": before[: len(before) - len(opened)],
        "open": opened,
        "close": closed,
        "separator": rest[len(closed) :],
        "section_close": behind[len(closed) :],
    }


def _second(two: str, reader: Any) -> tuple[int, int, int] | None:
    """Where the first call of two ends, and where the second stands."""
    first = reader(two)
    if first is None:
        return None
    rest = two[first[1] :]
    second = reader(rest, SECOND)
    if second is None:
        return None
    return first[1], first[1] + second[0], first[1] + second[1]


def _lead(probe: Probe, arguments: Mapping[str, Any], outer: Mapping[str, str]) -> str:
    """White space that the template writes between content and the first call."""
    text = _cleaned(probe.answer(calls(arguments, content=CONTENT), *VALUES, FIRST))
    if text is None or CONTENT not in text:
        return ""
    behind = text.split(CONTENT, 1)[1]
    opened = outer["section_open"] + outer["open"]
    space = behind[: len(behind) - len(behind.lstrip())]
    own = opened[: len(opened) - len(opened.lstrip())]
    return space.removesuffix(own)


def _separators(text: str) -> dict[str, str]:
    """The separators of JSON as the template writes them."""
    match = re.search(rf'"{KEYS[0]}"(\s*:\s*)"{VALUES[0]}"(\s*,\s*)"{KEYS[1]}"', text)
    if match is None:
        return {}
    return {"key_separator": match[1], "item_separator": match[2]}


def _pieces(text: str, name: str, arguments: Any) -> tuple[Piece, ...]:
    """Literals and holes of a JSON call as it stands in a rendering."""
    marks = [("name", name, text.find(name))]
    marks += [("id", one, text.find(one)) for one in IDS if one in text]
    if isinstance(arguments, str):
        written = json.dumps(arguments)[1:-1]
        written = written if written in text else json.dumps(arguments, ensure_ascii=False)[1:-1]
        marks.append(("arguments", written, text.find(written)))
    else:
        found = next(((s, e) for s, e, value in _objects(text) if value == arguments), None)
        if found is None:
            return ()
        marks.append(("arguments", text[found[0] : found[1]], found[0]))
    pieces, at = [], 0
    for hole, written, start in sorted(marks, key=lambda mark: mark[2]):
        if start < at:
            return ()
        pieces += [Piece(text[at:start]), Piece(hole, is_hole=True)]
        at = start + len(written)
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
    """Everything in an object that is not the arguments' own inside."""
    if path and (_is_arguments(value) or not isinstance(value, dict)):
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


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _common_suffix(first: str, second: str) -> str:
    return _common_prefix(first[::-1], second[::-1])[::-1]


def _common_prefix(first: str, second: str) -> str:
    return first[: common_prefix(first, second)]


def _cleaned(text: str | None) -> str | None:
    """An answer without the white space that a template writes before the end of a turn."""
    return None if text is None else text.rstrip()


def end_names(names: Sequence[str]) -> list[str]:
    """Names that can end a turn: none that is empty."""
    return [name for name in names if name]
