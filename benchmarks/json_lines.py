"""Files of JSON lines: one object a line, each known by the number of its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models import plain_file

MAX_BYTES = 1 << 30


def text_of(path: Path) -> str:
    """The whole file.

    Raises:
        ValueError: it cannot be read, is no plain file, or is not UTF-8; the message names it.
    """
    try:
        return plain_file.read_text(path, MAX_BYTES, may_be_link=True)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from None


def last(path: Path) -> Any:
    """The value of the last line, after whatever a command printed before; None where it is none.

    Raises:
        ValueError: as in `text_of`.
    """
    line = text_of(path).rstrip().rpartition("\n")[2]
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and the object of each line that is not empty.

    Raises:
        ValueError: as in `text_of`, or a line is no JSON object; the message names it.
    """
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}, is no JSON: {str(error)[:100]}.") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}, is no JSON object.")  # noqa: TRY004
        yield number, row
