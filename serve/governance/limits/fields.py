"""Fields of a file's tables, read one by one: what nobody asked for is an error, as are bad values.

Messages begin with the place: ``[[limits]] no. 2, "each key": tokens_per_minute is -5: ...``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from serve.errors import StartupError
from serve.governance.limits.prices import MAX_MICROS, micros_of
from serve.governance.limits.rules import MEASURES, MONEY, Measure
from serve.suggestion import near

MAX_COUNT = 10**12
"""Largest count of tokens or requests that a store takes."""
MAX_TEXT_CHARS = 256


class Fields:
    """One table of the file.

    Args:
        place: where it stands, for messages.

    Raises:
        StartupError: it is no table, or has fields that are not ``allowed``.
    """

    def __init__(self, place: str, table: object, allowed: Collection[str]) -> None:
        self.place = place
        if not isinstance(table, Mapping):
            self.refuse("is not a table")
        self._table: Mapping[str, Any] = table
        for name in table:
            if name not in allowed:
                known = ", ".join(allowed)
                self.refuse(f"{name!r} is no field of it.{near(name, allowed)} Fields: {known}")

    def refuse(self, why: str) -> NoReturn:
        """Raise StartupError."""
        end = "" if why.endswith(("?", ".")) else "."
        raise StartupError(f"{self.place}: {why}{end}")

    def text(self, name: str) -> str | None:
        """A line of text; None where it is not given."""
        value = self._table.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value or not value.isprintable():
            self.refuse(f"{name} is {value!r}: a string of printable characters is needed")
        if len(value) > MAX_TEXT_CHARS:
            self.refuse(f"{name} has {len(value)} characters: at most {MAX_TEXT_CHARS}")
        return value

    def count(self, name: str, most: int = MAX_COUNT, *, least: int = 1) -> int | None:
        """A whole number; None where it is not given."""
        value = self._table.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(f"{name} is {value!r}: a whole number is needed")
        if not least <= value <= most:
            self.refuse(f"{name} is {value}: at least {least} and at most {most}")
        return value

    def money(self, name: str, most: int = MAX_MICROS) -> int | None:
        """Millionths of money; None where it is not given."""
        value = self._table.get(name)
        if value is None:
            return None
        try:
            return micros_of(value, most)
        except ValueError as error:
            self.refuse(f"{name} {error}")

    def bounds(self, *, least: int = 1) -> dict[Measure, int]:
        """All amounts that the table bounds, each at least so much."""
        found: dict[Measure, int] = {}
        for measure in MEASURES:
            value = self.money(measure) if measure in MONEY else self.count(measure, least=least)
            if value is not None and value < least:
                self.refuse(f"{measure} is 0: to let nobody in, revoke the key")
            if value is not None:
                found[measure] = value
        return found
