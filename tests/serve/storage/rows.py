"""Rows of every table, with the values that are hard to carry from one database to another."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Connection, Integer, insert, select

from serve.storage import schema

TEXTS = ("plain", "Zürich 东京 🏦", 'a "quote" \\ and\nline', "")
NUMBERS = (0, 1, 2**62, -(2**40))


def fill(connection: Connection, num_rows: int) -> None:
    """Add so many rows to each table."""
    for table in schema.metadata.sorted_tables:
        rows = [
            {column.name: _value(column, number) for column in table.columns}
            for number in range(num_rows)
        ]
        connection.execute(insert(table), rows)


def all_rows(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """All rows, by table, in the order of their keys."""
    return {
        table.name: [
            tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
        ]
        for table in schema.metadata.sorted_tables
    }


def _value(column, number: int) -> object:
    if column.primary_key or column.name == "subject":
        return f"{column.name}-{number:06}"
    if column.nullable and number % 2:
        return None
    if isinstance(column.type, Boolean):
        return number % 2 == 0
    if isinstance(column.type, BigInteger):
        return NUMBERS[number % len(NUMBERS)]
    if isinstance(column.type, Integer):
        return number
    text = TEXTS[number % len(TEXTS)]
    return text[: column.type.length] if column.type.length else text
