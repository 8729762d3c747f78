"""Values of the parameters of reports' routes: days and page sizes."""

from __future__ import annotations

import re
from datetime import date

from models.rules.names import quoted
from serve.errors import InvalidRequest

SHOWN_CHARS = 60
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"[0-9]{1,9}")


def shown(text: str) -> str:
    """The beginning of a text that a client sent, on one line."""
    return "".join(char if char.isprintable() else "?" for char in text[:SHOWN_CHARS])


def day_of(name: str, text: str | None) -> date | None:
    """A day, YYYY-MM-DD; None where there is no text. Raises InvalidRequest, which names it."""
    if text is None:
        return None
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"{name} is {quoted(shown(text))}: a day is needed, such as 2026-11-30.", param=name
        ) from None


def limit_of(text: str | None, *, default: int, most: int) -> int:
    """Rows of a page, from 1 on. Raises InvalidRequest."""
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise InvalidRequest(
            f"limit is {quoted(shown(text))}: a whole number from 1 to {most} is needed.",
            param="limit",
        )
    return int(text)
