"""Structural forms: free text, in which what follows certain texts is held to a schema.

Two forms are read, as vLLM's clients send them: ``{"structures": [{"begin", "schema", "end"}],
"triggers": [...]}``, and ``{"type": "structural_tag", "format": {"type": "triggered_tags", ...}}``
with tags whose content is a ``json_schema``. A trigger in angle brackets is a token of that name,
as in vLLM. What else a form says is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from serve.engine.grammars import bounds, json_schema
from serve.engine.grammars.refusal import GrammarRefused

JsonObject = dict[str, Any]


_TOKEN = re.compile(r"<[^<>\[\]\s]+>")
"""What Lark takes for a special token's name; in brackets it would be ids."""
_OPTIONS = ("at_least_one", "stop_after_first")
"""What ``triggered_tags`` may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tag:
    trigger: str
    begin: str
    schema: Any
    end: str


def entries(text: str) -> tuple[JsonObject, list[JsonObject]]:
    """The grammar of a form in Lark, and those of its tags.

    Raises:
        GrammarRefused: it is no such form.
    """
    form = _form(text)
    tags = _tags(form)
    names = " | ".join(f"tag_{index}" for index in range(len(tags)))
    lines = [f"start: {_start(form, names)}", "tail: TEXT", r"TEXT: /(.|\n)*/"]
    parts = []
    for index, tag in enumerate(tags):
        rest = tag.begin.removeprefix(tag.trigger)
        body = f"{_text(rest)} @schema_{index} {_text(tag.end)}"
        if _TOKEN.fullmatch(tag.trigger):
            lines.append(f"tag_{index}: TEXT {tag.trigger} {body}")
        else:
            lines.append(f"trigger_{index}[lazy]: TEXT {literal(tag.trigger)}")
            lines.append(f"tag_{index}: trigger_{index} {body}")
        parts.append({"name": f"schema_{index}", "json_schema": tag.schema})
    return {"lark_grammar": "\n".join(lines)}, parts


def literal(text: str) -> str:
    """A text between quotes, as Lark reads it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _text(text: str) -> str:
    return literal(text) if text else ""


def _start(form: JsonObject, names: str) -> str:
    if form.get("stop_after_first"):
        return f"({names})" if form.get("at_least_one") else f"({names}) | tail"
    return f"({names}){'+' if form.get('at_least_one') else '*'} tail"


def _form(text: str) -> JsonObject:
    try:
        form = json.loads(text)
    except (ValueError, RecursionError):
        raise GrammarRefused("The structural form is not JSON.") from None
    if isinstance(form, dict) and isinstance(form.get("format"), dict):
        _check_names("The structural form", form, ("type", "format"))
        form = form["format"]
    if not isinstance(form, dict):
        raise GrammarRefused("The structural form is no object.")
    return form


def _check_names(where: str, given: JsonObject, known: Collection[str]) -> None:
    """Raises GrammarRefused where an object asks for what it has no name for."""
    for name, value in given.items():
        if name not in known and value not in (None, False, "", [], {}):
            raise GrammarRefused(
                f"{where} has {name[:40]!r}, which is not taken. There are {', '.join(known)}."
            )


def _tags(form: JsonObject) -> list[_Tag]:
    kind = form.get("type", "structural_tag")
    if kind not in {"structural_tag", "triggered_tags"}:
        raise GrammarRefused(
            f"The structural form has a format of type {str(kind)[:40]!r}; triggered_tags is taken."
        )
    is_newer = kind == "triggered_tags"
    listed = "tags" if is_newer else "structures"
    known = ("type", "triggers", listed, *(_OPTIONS if is_newer else ()))
    _check_names("The structural form", form, known)
    for name in _OPTIONS:
        if not isinstance(form.get(name) or False, bool):
            raise GrammarRefused(f"The structural form has a {name} that is no truth.")
    structures = form.get(listed)
    triggers = form.get("triggers")
    if (
        not isinstance(structures, list)
        or not structures
        or not isinstance(triggers, list)
        or not triggers
        or not all(isinstance(one, str) and one for one in triggers)
    ):
        raise GrammarRefused(
            "The structural form needs structures (or tags), a list of objects, and triggers, a "
            "list of texts; neither may be empty."
        )
    if len(structures) > bounds.MAX_PARTS:
        raise GrammarRefused(
            f"The structural form has {len(structures)} structures; at most {bounds.MAX_PARTS} "
            "are taken."
        )
    return [_tag(index, one, triggers) for index, one in enumerate(structures)]


def _tag(index: int, structure: Any, triggers: list[str]) -> _Tag:
    where = f"Structure {index} of the structural form"
    if not isinstance(structure, dict):
        raise GrammarRefused(f"{where} is no object.")
    _check_names(where, structure, ("type", "begin", "schema", "content", "end"))
    begin, end = structure.get("begin"), structure.get("end", "")
    if not isinstance(begin, str) or not isinstance(end, str):
        raise GrammarRefused(f"{where} needs begin and end, both texts.")
    trigger = next((one for one in triggers if begin.startswith(one)), None)
    if trigger is None:
        raise GrammarRefused(f"{where} begins with none of the triggers.")
    content = structure.get("content")
    if isinstance(content, dict) and content.get("type") == "json_schema":
        _check_names(f"The content of {where.lower()}", content, ("type", "json_schema"))
        schema = content.get("json_schema")
    elif "schema" in structure:
        schema = structure["schema"]
    else:
        raise GrammarRefused(f"{where} needs a schema, or a content of type json_schema.")
    read = json_schema.read(json.dumps(schema))
    return _Tag(
        trigger=trigger, begin=begin, schema=json_schema.prepared(read, is_closed=False), end=end
    )
