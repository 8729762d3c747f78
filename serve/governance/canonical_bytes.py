"""Plain values and dataclasses as bytes: equal bytes are equal values, of the same types.

Each value begins with a letter of its kind, and whatever has no fixed end says its length, so that
no two values read alike. Mappings keep their order: a template may write it into the prompt.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

_INT64 = 2**63


def canonical(value: object, left_out: Collection[str] = ()) -> bytes:
    """The bytes of a value.

    Args:
        value: None, a truth, number, text, bytes, or a dataclass, mapping, sequence or set of such.
        left_out: names of fields of dataclasses, at any depth, that are no part of it.

    Raises:
        TypeError: it is, or holds, something else.
    """
    return b"".join(_pieces(value, left_out))


def _pieces(value: object, left_out: Collection[str]) -> Iterator[bytes]:
    if is_dataclass(value) and not isinstance(value, type):
        yield _sized(b"d", type(value).__name__.encode())
        for part in fields(value):
            if part.name not in left_out:
                yield _sized(b"a", part.name.encode())
                yield from _pieces(getattr(value, part.name), left_out)
        yield b"."
    elif isinstance(value, Mapping):
        yield b"m%d:" % len(value)
        for key, item in value.items():
            yield from _pieces(key, left_out)
            yield from _pieces(item, left_out)
    elif isinstance(value, list | tuple):
        yield from _sequence(value, left_out)
    elif isinstance(value, set | frozenset):
        yield b"u%d:" % len(value)
        yield from sorted(canonical(item, left_out) for item in value)
    else:
        yield _scalar(value)


def _scalar(value: object) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"T", False: b"F"}[value]
    if isinstance(value, int):
        return b"i%d;" % value
    if isinstance(value, float):
        return b"f" + repr(value).encode() + b";"
    if isinstance(value, str):
        return _sized(b"s", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return _sized(b"b", value)
    raise TypeError(f"a {type(value).__name__} has no canonical bytes")


def _sequence(items: Any, left_out: Collection[str]) -> Iterator[bytes]:
    """A list or a tuple; token ids, of which there may be a million, as a block."""
    if set(map(type, items)) == {int} and min(items) >= -_INT64 and max(items) < _INT64:
        yield _sized(b"n", array("q", items).tobytes())
        return
    yield b"l%d:" % len(items)
    for item in items:
        yield from _pieces(item, left_out)


def _sized(kind: bytes, raw: bytes) -> bytes:
    return b"%b%d:%b" % (kind, len(raw), raw)
