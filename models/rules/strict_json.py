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

from models import plain_file
from models.rules.budget import MAX_FILE_VALUES, Budget, values_of

MAX_DEPTH = 64
"""Objects and lists within each other; real configurations have fewer than ten."""

OnPair = Callable[[str, Any], None]


class JsonFault(ValueError):
    """The fault of a text, as the end of a sentence that begins with "it"."""


def read(
    path: Path,
    *,
    max_bytes: int,
    on_pair: OnPair | None = None,
    max_values: int = MAX_FILE_VALUES,
    budget: Budget | None = None,
) -> Any:
    """The document in a file. See ``parse``.

    Raises:
        JsonFault: the file is larger than ``max_bytes``, or no strict JSON.
        OSError: it cannot be read, or is no plain file.
    """
    try:
        raw = plain_file.read(path, max_bytes)
    except plain_file.TooLargeError as error:
        raise JsonFault(str(error.strerror)) from None
    return parse(raw, on_pair=on_pair, max_values=max_values, budget=budget)


def parse(
    raw: bytes,
    *,
    on_pair: OnPair | None = None,
    max_values: int = MAX_FILE_VALUES,
    budget: Budget | None = None,
) -> Any:
    """The document in these bytes.

    Args:
        raw: UTF-8.
        on_pair: called with every key and value, at every depth, also of keys that stand twice;
            before any fault but broken syntax is raised.
        max_values: most values, counted before anything is parsed.
        budget: of the folder that these bytes are from.

    Raises:
        JsonFault: not UTF-8, not JSON, a key twice in an object, too deep, or too many values.
        BudgetFault: too many values for the folder.
    """
    num_values = values_of(raw)
    if num_values > max_values:
        raise JsonFault(f"has up to {num_values:,} values; at most {max_values:,} are read")
    if budget is not None:
        budget.take_values(num_values)
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
    if is_deeper(document, MAX_DEPTH):
        raise JsonFault(f"is nested more than {MAX_DEPTH} levels deep")
    return document


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    counts = Counter(key for key, _ in pairs)
    return next(key for key, count in counts.items() if count > 1)


def is_deeper(document: object, limit: int) -> bool:
    """Whether a document is nested deeper; level by level, so that it cannot exhaust our stack."""
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
