"""JSON as RFC 8259 means it, and nothing that two parsers could read differently.

Refused, beyond what is no JSON at all: other encodings than UTF-8 and a byte order mark (section
8.1), NaN and infinities, numbers beyond 64-bit floats, names that occur twice in an object, more
than MAX_DEPTH levels, more arrays, objects, strings or values than a server can look at without
holding up others, and a top level other than an object.

Integers may be of any size that Python reads: a JSON schema of an unsigned field holds 2**64 - 1.
Half a surrogate pair, written as an escape, becomes U+FFFD as in every decoder of Unicode (section
8.2; the Unicode standard, section 3.9): texts are cut so by clients, and stay so in a history. What
passes can be encoded again, so that nothing later stumbles over it.

Each check is few passes in C over the body, and none looks at a number that is not suspect.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from serve.errors import InvalidJson

MAX_DEPTH = 64
MAX_NAMES = 16_384
MAX_CONTAINERS = 50_000
"""A megabyte of arrays keeps the garbage collector busy."""
MAX_VALUES = 1_000_000
MAX_STRINGS = 500_000
"""They bound memory, and the time for which the parser holds the interpreter: about 30 ms."""
MAX_DIGITS = 4_300
"""Python's own bound for integers, whose reading takes quadratic time."""
MANY_VALUES = 100_000
SLICE_CHARS = 65_536
SHOWN_CHARS = 40

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# Digits as d, exponents as e, signs and points as themselves, and a space for what is of no number.
_KINDS = dict.fromkeys(b"0123456789", ord("d")) | dict.fromkeys(b"eE", ord("e"))
_MARKS = bytes(_KINDS.get(char, char if char in b"+-." else ord(" ")) for char in range(256))
_LARGE_MARKS = (b"eddd", b"e+ddd", b"d" * 200)
"""A number with one of these may be out of range; without it has at most 199 digits and 1e99."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # a pair has been joined by the parser


class JsonObject(dict[str, Any]):
    """An object, with the text that it was read from."""

    text: str = ""

    def written(self, path: Sequence[int | str]) -> str | None:
        """The number at a path as the client wrote it: 1e3 is not 1000.0 to whoever sent it.

        It reads the text once more, which only a refusal does. None where there is no number.
        """
        value: Any = json.loads(self.text, parse_int=_number, parse_float=_number)
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return str(value) if isinstance(value, _Number) else None


class _Number(str):
    """A number's text."""

    __slots__ = ()


def _number(text: str) -> _Number:
    return _Number(text)


def _integer(text: str) -> int:
    return int(text)


def _real(text: str) -> float:
    return float(text)


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
    value = _parse(text, has_many=skeleton.count(b",") > MANY_VALUES)
    if not isinstance(value, dict):
        raise InvalidJson(f"The body is a JSON {_kind(value)}: send a JSON object.")
    if _SURROGATE.search(body):
        value = _without_surrogates(value)
    parsed = JsonObject(value)
    parsed.text = text
    return parsed


def _parse(text: str, *, has_many: bool) -> Any:
    """Args: has_many: call functions of ours for numbers, at which other threads get their turn."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer if has_many else None,
            parse_float=_real if has_many else None,
        )
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
    marks = skeleton.translate(_MARKS)
    for large in _LARGE_MARKS:
        at = marks.find(large)
        while at >= 0:
            end = marks.find(b" ", at)
            end = end if end >= 0 else len(marks)
            _check_number(skeleton[marks.rfind(b" ", 0, at) + 1 : end])
            at = marks.find(large, end)


def _check_number(number: bytes) -> None:
    digits = number.removeprefix(b"-")
    if digits.isdigit():
        if len(digits) > MAX_DIGITS:
            raise InvalidJson(
                f"The body has an integer of {len(digits)} digits: at most {MAX_DIGITS}."
            )
        return
    with contextlib.suppress(ValueError):
        if not math.isfinite(float(number)):
            shown = number[:SHOWN_CHARS].decode() + "..." * (len(number) > SHOWN_CHARS)
            raise InvalidJson(
                f"The body has the number {shown}, which is too large: at most 1.8e308."
            )


def _without_surrogates(value: Any) -> Any:
    """The same JSON value with U+FFFD for each surrogate, in names too."""
    if isinstance(value, str):
        return value if value.isascii() else "".join(map(_mended, _slices(value)))
    if isinstance(value, list):
        return list(map(_without_surrogates, value))
    if isinstance(value, dict):
        return _object([(_without_surrogates(k), _without_surrogates(v)) for k, v in value.items()])
    return value


def _slices(text: str) -> Iterator[str]:
    """A text in slices, between which other threads get their turn."""
    return (text[at : at + SLICE_CHARS] for at in range(0, len(text), SLICE_CHARS))


def _mended(text: str) -> str:
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_NAMES:
        raise InvalidJson(f"An object of the body has {len(pairs)} names: at most {MAX_NAMES}.")
    value = dict(pairs)
    if len(value) != len(pairs):
        unseen = dict.fromkeys(value)
        name = next(name for name, _ in pairs if unseen.pop(name, name) is not None)
        shown = json.dumps(name if len(name) <= SHOWN_CHARS else f"{name[:SHOWN_CHARS]}...")
        raise InvalidJson(f"An object of the body has the same name twice: {shown}.")
    return value


def _constant(name: str) -> Any:
    raise InvalidJson(f"The body has {name}, which is no JSON number.")


def _kind(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
