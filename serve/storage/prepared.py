"""Statements whose text is made once: SQLAlchemy's part of each execution is to send it.

For those that every request needs. SQLAlchemy's Core makes the text, for either dialect, so that
nothing here knows any SQL; but to look its cached text up, to name and to convert each value costs
more than the database needs for the statement itself. Values are passed as they are: strings,
integers and booleans, which both drivers take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Executable,
    bindparam,
    false,
)

Values = Mapping[str, Any]
MAX_TEXTS = 256
"""Texts that are kept of one statement, before they are made anew."""


@dataclass(frozen=True, slots=True)
class _Text:
    """One text.

    Attributes:
        fixed: values that are the statement's own.
        order: of all values; None where the driver takes them by name.
    """

    sql: str
    fixed: Values
    order: tuple[str, ...] | None

    def values(self, values: Values) -> Any:
        if self.fixed:
            values = {**self.fixed, **values}
        if self.order is None:
            return values
        return tuple([values[name] for name in self.order])


class Prepared:
    """A statement to execute often.

    Args:
        make: the statement, of Core. It is given the length of each list among its values, by its
            name, for ``among``; there is a text for each length, so callers keep to few of them.
    """

    def __init__(self, make: Callable[..., Executable]) -> None:
        self._make = make
        self._texts: dict[tuple[Any, ...], _Text] = {}

    def execute(self, connection: Connection, values: Values) -> CursorResult[Any]:
        """Execute it once."""
        lengths = {name: len(each) for name, each in values.items() if isinstance(each, list)}
        text = self._text(connection, lengths)
        flat = dict(values)
        for name in lengths:
            flat.update({f"{name}_{i}": each for i, each in enumerate(flat.pop(name))})
        return connection.exec_driver_sql(text.sql, text.values(flat))

    def execute_all(self, connection: Connection, rows: Sequence[Values]) -> CursorResult[Any]:
        """Execute it for each of some rows, at least one."""
        text = self._text(connection, {})
        return connection.exec_driver_sql(text.sql, [text.values(row) for row in rows])

    def _text(self, connection: Connection, lengths: Mapping[str, int]) -> _Text:
        key = (connection.dialect.name, *lengths.items())
        text = self._texts.get(key)
        if text is None:
            if len(self._texts) >= MAX_TEXTS:
                self._texts.clear()
            text = self._texts[key] = self._compiled(connection, lengths)
        return text

    def _compiled(self, connection: Connection, lengths: Mapping[str, int]) -> _Text:
        statement: Any = self._make(**lengths)
        compiled = statement.compile(dialect=connection.dialect)
        order = compiled.positiontup
        return _Text(
            str(compiled),
            {name: value for name, value in compiled.params.items() if value is not None},
            None if order is None else tuple(order),
        )


def among(column: ColumnElement[Any], name: str, length: int) -> ColumnElement[bool]:
    """Whether a column is one of the values of the list of that name."""
    # Core has no text for an empty list before its values are known.
    return column.in_([bindparam(f"{name}_{i}") for i in range(length)]) if length else false()


def padded(names: Sequence[str]) -> list[str]:
    """The names, with the last repeated until they are a power of two.

    So few texts of a statement come to the database, which keeps those it has parsed.
    """
    missing = (1 << (len(names) - 1).bit_length()) - len(names) if names else 0
    return [*names, *[names[-1]] * missing] if missing else list(names)
