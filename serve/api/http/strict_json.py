"""JSON as RFC 8259 means it, and nothing that two parsers could read differently.

Refused, beyond what is no JSON at all: other encodings than UTF-8 and a byte order mark (section
8.1), NaN and infinities, numbers that overflow, integers beyond 64 bits, names that occur twice in
an object, lone surrogates (section 8.2), more than MAX_DEPTH levels, more than MAX_CONTAINERS
arrays and objects (a megabyte of them keeps the garbage collector busy), and a top level other than
an object. What passes can be encoded again, so that nothing later stumbles over it.

The costly checks run only on bodies that show a sign of what they look for; each sign is one pass
in C over the body.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import orjson

from serve.errors import InvalidJson

MAX_DEPTH = 64
MAX_NAMES = 1024
MAX_CONTAINERS = 50_000
MAX_INT = 2**63 - 1

# An unterminated string matches to the end: else each quote in it would start a scan of its own.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# Digits as d, exponents as e, and a space for all that is of no number: a number is a run then.
_KINDS = dict.fromkeys(b"0123456789", ord("d")) | {c: c for c in b"+-.e"} | {ord("E"): ord("e")}
_MARKS = bytes(_KINDS.get(char, ord(" ")) for char in range(256))
# A number with one of these may be out of range; none without is. Each is looked for by one pass in
# C, and only what has one is looked at: a call back for each number takes 15 times as long as the
# parser itself.
_LONG = b"d" * 19
_LARGE_EXPONENTS = (b"eddd", b"e+ddd")
_WITH_EXPONENT = re.compile(rb"(?<![-+.0-9eE])[-+.0-9]++[eE][-+.0-9eE]*+")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_object(body: bytes) -> dict[str, Any]:
    """The object that a request body holds.

    Raises:
        InvalidJson: the body is anything but strict JSON with an object at the top.
    """
    if not body.strip():
        raise InvalidJson("The body is empty: send a JSON object.")
    if body.startswith(b"\xef\xbb\xbf"):
        raise InvalidJson("The body starts with a byte order mark: send plain UTF-8.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8: byte {error.start} is invalid.") from None
    skeleton = _STRING.sub(b"", body)
    _check_structure(skeleton)
    _check_numbers(skeleton)
    value = _parse(text)
    if not isinstance(value, dict):
        raise InvalidJson(f"The body is a JSON {_kind(value)}: send a JSON object.")
    if _SURROGATE.search(body):
        _check_text(value)
    return value


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        problem = error.msg.removesuffix(" at")
        raise InvalidJson(
            f"The body is not valid JSON: {problem} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:  # int() has a bound of its own, and what is no JSON can get there unchecked
        raise InvalidJson("The body is not valid JSON: one of its numbers is too long.") from None
    except RecursionError:
        raise InvalidJson(f"The body is nested deeper than {MAX_DEPTH} levels.") from None


def _check_structure(skeleton: bytes) -> None:
    brackets = skeleton.translate(None, _NOT_BRACKETS)
    num_containers = brackets.count(b"[") + brackets.count(b"{")
    if num_containers <= MAX_DEPTH:
        return
    if num_containers > MAX_CONTAINERS:
        raise InvalidJson(
            f"The body has {num_containers} arrays and objects: at most {MAX_CONTAINERS}."
        )
    depth = max(accumulate(map(_STEPS.__getitem__, brackets)))
    if depth > MAX_DEPTH:
        raise InvalidJson(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _check_numbers(skeleton: bytes) -> None:
    """Check the range of numbers, before the parser meets them."""
    marks = skeleton.translate(_MARKS)
    at = marks.find(_LONG)
    while at >= 0:
        end = marks.find(b" ", at)
        end = end if end >= 0 else len(marks)
        number = skeleton[marks.rfind(b" ", 0, at) + 1 : end]
        if number.removeprefix(b"-").isdigit():
            _check_integer(number)
        else:
            _check_reals((number,))
        at = marks.find(_LONG, end)
    if any(exponent in marks for exponent in _LARGE_EXPONENTS):
        _check_reals(_WITH_EXPONENT.findall(skeleton))


def _check_text(value: object) -> None:
    try:
        orjson.dumps(value)
    except TypeError:
        raise InvalidJson(
            "A string of the body has a lone surrogate: it is no Unicode text."
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_NAMES:
        raise InvalidJson(f"An object of the body has {len(pairs)} names: at most {MAX_NAMES}.")
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidJson("An object of the body has the same name twice.")
    return value


def _constant(name: str) -> Any:
    raise InvalidJson(f"The body has {name}, which is no JSON number.")


def _check_integer(digits: bytes) -> None:
    # Length first: int() of a very long literal is slow, and Python refuses it with a ValueError.
    if len(digits) > 20 or not -MAX_INT <= int(digits) <= MAX_INT:
        raise InvalidJson("The body has an integer beyond 64 bits.")


def _check_reals(numbers: Sequence[bytes]) -> None:
    try:
        is_finite = all(map(math.isfinite, map(float, numbers)))
    except ValueError:
        raise InvalidJson("The body is not valid JSON: one of its numbers is none.") from None
    if not is_finite:
        raise InvalidJson("The body has a number that is too large.")


def _kind(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
