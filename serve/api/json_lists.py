"""JSON that grows: lists of one object, encoded as their items come, and given in small pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

PIECE_BYTES: Final = 65_536


class JsonLists:
    """One JSON object of which some values are lists that grow.

    What is kept is the encoded items: a tenth of what Python takes for the same as objects.

    Args:
        shape: the object with its lists empty; other values stay as they are here.
    """

    def __init__(self, shape: Mapping[str, Any]) -> None:
        self._lists = {name: bytearray() for name, value in shape.items() if value == []}
        self._values = {name: orjson.dumps(value) for name, value in shape.items()}

    def add(self, lists: Mapping[str, Any]) -> None:
        """Append to each list the items of that name."""
        for name, encoded in self._lists.items():
            if items := lists[name]:
                if encoded:
                    encoded.extend(b",")
                encoded.extend(memoryview(orjson.dumps(items))[1:-1])

    def pieces(self) -> Iterator[bytes]:
        """The object's JSON. It can be read once: each list is let go of when it is over."""
        for number, name in enumerate(self._values):
            yield (b"," if number else b"{") + orjson.dumps(name) + b":"
            if name not in self._lists:
                yield self._values[name]
                continue
            buffer = self._lists.pop(name)
            yield b"["
            for at in range(0, len(buffer), PIECE_BYTES):
                yield bytes(buffer[at : at + PIECE_BYTES])
            yield b"]"
        yield b"}"


def in_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of PIECE_BYTES; the last one may be smaller."""
    buffer = bytearray()
    for part in parts:
        buffer += part
        while len(buffer) >= PIECE_BYTES:
            yield bytes(buffer[:PIECE_BYTES])
            del buffer[:PIECE_BYTES]
    if buffer:
        yield bytes(buffer)
