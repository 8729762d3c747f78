"""Pydantic's first error in our words, and in JSON's.

Pydantic does the checking and none of the talking: its messages would repeat the input, and its
list of errors can be larger than the body (29 MB for 3.5 MB, measured on FastAPI's own answer).
A field is named as it was sent, ``messages[2].content[0].text``, and a number as it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from models.rules.names import quoted, unhidden
from serve.api.openai.bodies import UNOFFERED
from serve.errors import InvalidRequest, UnsupportedField
from serve.suggestion import near

MAX_ECHO_CHARS = 60
MAX_PARAM_CHARS = 160

Path = tuple[int | str, ...]
Written = Callable[[Path], str | None]
"""The number at a path as the client wrote it, where there is one."""

TEXT_ONLY = "this server takes text only, no images, audio or files"
_TELLING = re.compile(r"[-+.0-9eE]{1,24}|[Tt]rue|[Ff]alse|[Nn]ull|None")
"""Strings that say what is wrong with them: a number or a truth in quotes."""


def refusal(
    error: ErrorDetails, data: object, written: Written, known: Callable[[Path], Sequence[str]]
) -> InvalidRequest:
    """The answer to an error.

    Args:
        data: the object that was checked.
        known: names of the fields that an object at a path may have.
    """
    path = _path_in(data, error["loc"])
    kind = error["type"]
    if kind.startswith("union_tag"):
        path = (*path, error.get("ctx", {}).get("discriminator", "").strip("'"))
    param = param_of(path) or None
    name = param or "The body"
    value = _at(data, path)
    if kind in {"missing", "union_tag_not_found"}:
        return InvalidRequest(f"{name} is required.", param=param)
    if kind == "extra_forbidden":
        hint = near(str(path[-1]), known(path[:-1]))
        return InvalidRequest(
            f"{name} is not a field of this object.{hint} Leave it out.", param=param
        )
    if kind == UNOFFERED:
        return UnsupportedField(f"{name} is not supported: {error['msg']}.", param=param)
    if kind in _ENUM_ERRORS and isinstance(value, str):
        reason = _unoffered_kind(path)
        if reason is not None:
            return UnsupportedField(f"{name} {reason}.", param=param)
    given = _given(kind, value, written(path))
    return InvalidRequest(f"{name} {_demand(error)}{given}.", param=param)


def param_of(path: Sequence[int | str]) -> str:
    """A path as clients write it: ``messages[2].content``."""
    text = "".join(
        f"[{step}]" if isinstance(step, int) else f".{unhidden(step[:MAX_ECHO_CHARS])}"
        for step in path
    )
    return text.removeprefix(".")[:MAX_PARAM_CHARS]


def shown(value: object) -> str:
    """A JSON value in JSON's words, or its type where it could be long or hold a text."""
    if isinstance(value, str):
        return f"the string {json.dumps(value)}" if _TELLING.fullmatch(value) else "a string"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    return cut(json.dumps(value))


def cut(text: str) -> str:
    """A text as far as an error shows it."""
    return text if len(text) <= MAX_ECHO_CHARS else f"{text[:MAX_ECHO_CHARS]}..."


def _unoffered_kind(path: Path) -> str | None:
    """The reason why a kind of part or call is not offered; None where it is just wrong."""
    if path[-1] == "type" and "content" in path:
        return f'must be "text": {TEXT_ONLY}'
    if path[-1] == "type" and path[0] in {"tools", "messages"}:
        return 'must be "function": there are no other tools'
    return None


def _path_in(data: object, location: Sequence[int | str]) -> Path:
    """The part of pydantic's location that is in the data: it also names branches of unions."""
    path: list[int | str] = []
    value: object = data
    for position, step in enumerate(location):
        if _has(value, step):
            value = value[step]  # type: ignore[index]
        elif not (isinstance(value, dict) and position == len(location) - 1):
            continue  # a branch of a union; at the end it would be a missing field
        path.append(step)
    return tuple(path)


def _has(value: object, step: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _at(data: Any, path: Path) -> Any:
    """The value at a path; None where there is none."""
    for step in path:
        if not _has(data, step):
            return None
        data = data[step]
    return data


def _demand(error: ErrorDetails) -> str:
    """The demand on the field. Pydantic's own sentence where we have none: it holds no input."""
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "union_tag_invalid":
        return f"must be one of {_in_json(context['expected_tags'])}"
    if kind == "literal_error":
        return f"must be {_in_json(context['expected'])}"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    if kind == "float_type" and type(error["input"]) is int:  # beyond the range of floats
        kind = "finite_number"
    if kind in _DEMANDS:
        return _DEMANDS[kind]
    one, many = ("character", "characters") if kind.startswith("string") else ("entry", "entries")
    for name, words in _LIMITS.items():
        if name in context:
            limit = _plain(context[name])
            unit = f" {one if limit == 1 else many}" if name.endswith("length") else ""
            return words.format(limit) + unit
    message = error["msg"].removeprefix("Input ")
    return message.replace("should be", "must be", 1).replace("should have", "must have", 1)


def _given(kind: str, value: Any, number: str | None) -> str:
    """', not ...': the value where it is a number or one of few words, else its length or type."""
    if kind == "string_pattern_mismatch":
        return ""
    if isinstance(value, str | list | dict) and kind.endswith(("too_short", "too_long")):
        return f", not {len(value)}"
    if number is not None:
        return f", not {cut(number)}"
    if isinstance(value, str) and kind in _ENUM_ERRORS:
        return f", not {quoted(value[:MAX_ECHO_CHARS])}"
    hint = (
        "; send it without quotes" if isinstance(value, str) and _TELLING.fullmatch(value) else ""
    )
    return f", not {shown(value)}{hint}"


def _in_json(expected: str) -> str:
    """Pydantic's list of what it expects, in JSON's words."""
    return expected.replace("'", '"').replace("True", "true").replace("False", "false")


def _plain(limit: float) -> float:
    return int(limit) if limit == int(limit) else limit


_ENUM_ERRORS = frozenset({"literal_error", "union_tag_invalid"})
_INTEGER, _NUMBER = "must be an integer", "must be a number"
_DEMANDS = {
    "int_type": _INTEGER,
    "int_from_float": _INTEGER,
    "int_parsing_size": _INTEGER,
    "float_type": _NUMBER,
    "finite_number": f"{_NUMBER} that a 64-bit float can hold",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}
_LIMITS = {
    "ge": "must be at least {}",
    "gt": "must be greater than {}",
    "le": "must be at most {}",
    "max_length": "must have at most {}",
    "min_length": "must have at least {}",
}
