"""Grammars of JSON values: schemas, expressions, choices, each of whatever shape clients give them.

What is misshapen is refused by its name; what a schema or an expression says is for whoever
compiles it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from serve.api.http.strict_json import parse_object
from serve.api.openai.bodies import is_empty
from serve.api.openai.refusals import param_of, shown
from serve.engine.grammars.grammar import Grammar
from serve.errors import InvalidJson, InvalidRequest
from serve.suggestion import near

ANY_OBJECT: Final = '{"type": "object"}'


def json_of(value: Any, param: str) -> Grammar:
    """The grammar of a schema, or of the JSON text of one. Raises InvalidRequest."""
    if not isinstance(value, str):
        return schema_of(value, param)
    if value.strip() in {"true", "false"}:
        return Grammar(kind="json_schema", text=value.strip())
    return Grammar(kind="json_schema", text=json.dumps(_parsed(value, param), ensure_ascii=False))


def regex_of(value: Any, param: str) -> Grammar:
    """The grammar of a regular expression. Raises InvalidRequest."""
    return Grammar(kind="regex", text=text_of(value, param))


def grammar_of(value: Any, param: str) -> Grammar:
    """The grammar of a text in Lark's notation or llama.cpp's. Raises InvalidRequest."""
    return Grammar(kind="lark", text=text_of(value, param))


def choice_of(value: Any, param: str) -> Grammar:
    """The grammar of a few answers to choose from. Raises InvalidRequest."""
    if not isinstance(value, list) or not value:
        given = "an empty one" if value == [] else shown(value)
        raise InvalidRequest(f"{param} must be an array of strings, not {given}.", param=param)
    for index, choice in enumerate(value):
        text_of(choice, f"{param}[{index}]")
    return Grammar(kind="choice", choices=tuple(value))


def text_of(value: Any, param: str) -> str:
    """A text that says something. Raises InvalidRequest."""
    if not isinstance(value, str):
        raise InvalidRequest(f"{param} must be a string, not {shown(value)}.", param=param)
    if not value:
        raise InvalidRequest(f"{param} must have at least 1 character, not 0.", param=param)
    return value


def any_object_of(value: Any, param: str) -> Grammar | None:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{param} must be true or false, not {shown(value)}.", param=param)
    return Grammar(kind="json_schema", text=ANY_OBJECT) if value else None


def schema_of(value: Any, param: str) -> Grammar:
    if value == [] and isinstance(value, list):  # PHP's empty map
        value = {}
    if not isinstance(value, dict | bool):
        raise InvalidRequest(
            f"{param} must be a JSON schema, which is an object or a truth, not {shown(value)}.",
            param=param,
        )
    return Grammar(kind="json_schema", text=json.dumps(value, ensure_ascii=False))


def structural_of(value: Any, param: str) -> Grammar:
    given = _parsed(value, param) if isinstance(value, str) else object_of(value, param)
    check_names(given, param, ("type", "format", "structures", "triggers"))
    return structural(given, param)


def structural(given: Mapping[str, Any], param: str) -> Grammar:
    """The grammar of vLLM's two shapes: a ``format``, or ``structures`` behind ``triggers``."""
    is_newer, is_older = "format" in given, "structures" in given or "triggers" in given
    if is_newer == is_older:
        both = "either a format, or structures with triggers"
        raise InvalidRequest(f"{param} needs {both}.", param=param)
    for name, kind, demand in (
        ("format", dict, "an object"),
        ("structures", list, "an array"),
        ("triggers", list, "an array"),
    ):
        is_wanted = is_newer == (name == "format")
        if is_wanted and not isinstance(given.get(name), kind):
            where = f"{param}.{name}"
            given_kind = shown(given[name]) if name in given else "absent"
            raise InvalidRequest(f"{where} must be {demand}, not {given_kind}.", param=where)
    whole = {"type": "structural_tag", **given}
    return Grammar(kind="structural", text=json.dumps(whole, ensure_ascii=False))


def object_of(value: Any, param: str) -> dict[str, Any]:
    """A JSON object without the fields that are null; what they mean else is the reader's."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{param} must be an object, not {shown(value)}.", param=param)
    return {name: item for name, item in value.items() if item is not None}


def check_names(given: Mapping[str, Any], param: str, known: tuple[str, ...]) -> None:
    """Raises InvalidRequest for a field that an object does not have and that has a value."""
    for name, value in given.items():
        if name not in known and value is not False and not is_empty(value):
            where = f"{param}.{param_of((name,))}"
            raise InvalidRequest(
                f"{where} is not a field of this object.{near(name[:60], known)} Leave it out.",
                param=where,
            )


def _parsed(text: str, param: str) -> dict[str, Any]:
    try:
        return dict(parse_object(text.encode()))
    except InvalidJson as error:
        reason = str(error).replace("The body", param, 1)
        raise InvalidRequest(reason, param=param) from None
