"""JSON that every reader reads alike: UTF-8, bounded, no key twice in an object.

Python, Rust and C readers differ in what they make of a repeated key, of other encodings and of
depth; a file on which they differ could pass here and mean something else to a loader.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_DEPTH = 64
"""Objects and lists within each other; real configurations have fewer than ten."""

OnPair = Callable[[str, Any], None]


class JsonFault(ValueError):
    """The fault of a text, as the end of a sentence that begins with "it"."""


def read(path: Path, *, max_bytes: int, on_pair: OnPair | None = None) -> Any:
    """The document in a file. See ``parse``.

    Raises:
        JsonFault: the file is larger than ``max_bytes``, or no strict JSON.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise JsonFault(f"has {size:,} bytes; at most {max_bytes:,} are read")
    return parse(path.read_bytes(), on_pair=on_pair)


def parse(raw: bytes, *, on_pair: OnPair | None = None) -> Any:
    """The document in these bytes.

    Args:
        raw: UTF-8.
        on_pair: called with every key and value, at every depth, also of keys that stand twice;
            before any fault but broken syntax is raised.

    Raises:
        JsonFault: not UTF-8, not JSON, a key twice in an object, or too deep.
    """
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if on_pair is not None:
            for key, value in pairs:
                on_pair(key, value)
        document = dict(pairs)
        if len(document) < len(pairs) and not repeated:
            repeated.append(_first_repeated(pairs))
        return document

    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=collect)
    except UnicodeDecodeError as error:
        raise JsonFault(f"is not UTF-8 (byte {error.start:,})") from None
    except RecursionError:
        raise JsonFault(f"is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise JsonFault(f"is not JSON: {str(error)[:100]}") from None
    if repeated:
        raise JsonFault(f"has the key {repeated[0][:60]!r} twice in one object")
    if _is_deeper(document, MAX_DEPTH):
        raise JsonFault(f"is nested more than {MAX_DEPTH} levels deep")
    return document


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    counts = Counter(key for key, _ in pairs)
    return next(key for key, count in counts.items() if count > 1)


def _is_deeper(document: object, limit: int) -> bool:
    """Level by level, so that a deep document cannot exhaust our own stack."""
    level = [document]
    for _ in range(limit + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
