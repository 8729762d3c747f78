"""A record as an entry of the log: canonical JSON, the same bytes for the same values (RFC 8785).

Names are ASCII and numbers are whole, so sorting and the shortest escapes are all there is to it.
Lengths of texts are bounded here: an entry has at most 65,535 bytes (C2SP tlog-tiles), and what is
larger is kept beside the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

MAX_ENTRY_BYTES: Final = 65_535
MAX_TEXT_CHARS: Final = 256
MAX_ITEMS: Final = 64
"""Of a list of names, such as verdicts."""

Record = dict[str, Any]
"""One record before it is written. Values are texts, whole numbers, booleans, lists and tables."""


class EntryTooLargeError(ValueError):
    """A record that no entry holds: a defect of whoever made it."""


def encoded(record: Mapping[str, Any]) -> bytes:
    """The entry of a record.

    Raises:
        EntryTooLargeError: it has more than MAX_ENTRY_BYTES.
    """
    entry = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    if len(entry) > MAX_ENTRY_BYTES:
        raise EntryTooLargeError(
            f"an entry has {len(entry)} bytes: at most {MAX_ENTRY_BYTES} are possible"
        )
    return entry


def decoded(entry: bytes) -> Record:
    """The record of an entry; an empty one where it is none of ours."""
    try:
        record = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def short(text: str) -> str:
    """A text that fits every record, and that UTF-8 can hold."""
    return text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode()


def shortened(texts: list[str]) -> list[str]:
    """A list of texts that fits every record; its last one says how many are missing."""
    if len(texts) <= MAX_ITEMS:
        return [short(text) for text in texts]
    kept = [short(text) for text in texts[: MAX_ITEMS - 1]]
    return [*kept, f"and {len(texts) - MAX_ITEMS + 1} more"]
