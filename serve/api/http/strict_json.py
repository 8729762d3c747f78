"""JSON as RFC 8259 means it, and nothing that two parsers could read differently.

Refused, beyond what is no JSON at all: other encodings than UTF-8 and a byte order mark (section
8.1), NaN and infinities, numbers beyond 64-bit floats, names that occur twice in an object, more
than MAX_DEPTH levels, more arrays, objects, strings or values than a server can look at without
holding up others, and a top level other than an object.

Integers may be of any size that Python reads: a JSON schema of an unsigned field holds 2**64 - 1.
Half a surrogate pair, written as an escape, becomes U+FFFD as in every decoder of Unicode (section
8.2; the Unicode standard, section 3.9): texts are cut so by clients, and stay so in a history. What
passes can be encoded again, so that nothing later stumbles over it.

Each check is few passes in C over the body, and none calls back for a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from serve.errors import InvalidJson

MAX_DEPTH = 64
MAX_NAMES = 16_384
MAX_CONTAINERS = 50_000
"""A megabyte of arrays keeps the garbage collector busy."""
MAX_VALUES = 1_000_000
MAX_STRINGS = 500_000
"""These two bound the time for which the parser holds the interpreter: 50 ms at most, measured."""
MAX_DIGITS = 4_300
"""Python's own bound for integers, whose reading takes quadratic time."""
SHOWN_CHARS = 40

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# A number this long or with an exponent this large may be out of range; no shorter one is.
_LARGE_NUMBER = re.compile(
    rb"(?<![-+.0-9])(?:[-+.0-9]++[eE]\+?[0-9]{3}[0-9]*+|[-+.0-9]{300}[-+.0-9]*+(?:[eE][-+0-9]*+)?)"
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # a pair has been joined by the parser


class JsonObject(dict[str, Any]):
    """An object, with the text that it was read from."""

    text: str = ""

    def written(self, path: Sequence[int | str]) -> str | None:
        """The number at a path as the client wrote it: 1e3 is not 1000.0 to whoever sent it.

        It reads the text once more, which only a refusal does. None where there is no number.
        """
        value: Any = json.loads(self.text, parse_int=_Number, parse_float=_Number)
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return str(value) if isinstance(value, _Number) else None


class _Number(str):
    """A number's text."""

    __slots__ = ()


def parse_object(body: bytes) -> JsonObject:
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
    skeleton = _outside_strings(body)
    _check_structure(skeleton)
    _check_numbers(skeleton)
    value = _parse(text)
    if not isinstance(value, dict):
        raise InvalidJson(f"The body is a JSON {_kind(value)}: send a JSON object.")
    if _SURROGATE.search(body):
        value = _without_surrogates(value)
    parsed = JsonObject(value)
    parsed.text = text
    return parsed


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        problem = error.msg.removesuffix(" at")
        raise InvalidJson(
            f"The body is not valid JSON: {problem} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise InvalidJson(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:  # of int(), in a body that is no JSON, so that its number was not checked
        raise InvalidJson("The body is not valid JSON: one of its numbers is too long.") from None


def _outside_strings(body: bytes) -> bytes:
    """The body without its strings. Escapes go first, so that each quote left begins or ends one.

    Of a run of backslashes pairs are removed from the left; one that is left escapes what follows.
    """
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    num_strings = plain.count(b'"') // 2
    if num_strings > MAX_STRINGS:
        raise InvalidJson(f"The body has {num_strings} strings: at most {MAX_STRINGS}.")
    return b"".join(plain.split(b'"')[::2])


def _check_structure(skeleton: bytes) -> None:
    num_values = skeleton.count(b",") + 1
    if num_values > MAX_VALUES:
        raise InvalidJson(f"The body has {num_values} values: at most {MAX_VALUES}.")
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
    """Check the range of numbers, before the parser meets them. What is none is left to it."""
    for match in _LARGE_NUMBER.finditer(skeleton):
        number = match.group()
        digits = number.removeprefix(b"-")
        if digits.isdigit():
            if len(digits) > MAX_DIGITS:
                raise InvalidJson(
                    f"The body has an integer of {len(digits)} digits: at most {MAX_DIGITS}."
                )
            continue
        try:
            is_finite = math.isfinite(float(number))
        except ValueError:
            continue
        if not is_finite:
            shown = number[:SHOWN_CHARS].decode() + "..." * (len(number) > SHOWN_CHARS)
            raise InvalidJson(
                f"The body has the number {shown}, which is too large: at most 1.8e308."
            )


def _without_surrogates(value: Any) -> Any:
    """The same JSON value with U+FFFD for each surrogate, in names too."""
    if isinstance(value, str):
        return value if value.isascii() else _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return list(map(_without_surrogates, value))
    if isinstance(value, dict):
        return _object([(_without_surrogates(k), _without_surrogates(v)) for k, v in value.items()])
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_NAMES:
        raise InvalidJson(f"An object of the body has {len(pairs)} names: at most {MAX_NAMES}.")
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidJson("An object of the body has the same name twice.")
    return value


def _constant(name: str) -> Any:
    raise InvalidJson(f"The body has {name}, which is no JSON number.")


def _kind(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
