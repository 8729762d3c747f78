"""Queries of the ledger: sums of groups, a page at a time, and sums of all.

Money of several currencies is never summed: each group is of one currency. Groups come in the order
of their values, so that a page begins after the last group of the one before, whatever was entered
meanwhile. A database that compares text by a language's rules sorts and compares alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)

from serve.storage.schema import ledger
from serve.storage.usage_sums import MAX_GROUPS, Dimension, Selection, Usage

MAX_CURRENCIES: Final = 32

_COLUMNS: Final = MappingProxyType(
    {
        "day": ledger.c.day,
        "model": ledger.c.model,
        "key": ledger.c.key_id,
        "tenant": ledger.c.tenant,
        "owner": ledger.c.owner,
    }
)
_SUMS: Final = (
    func.count().label("num_requests"),
    *(
        func.coalesce(func.sum(ledger.c[name]), 0).label(name)
        for name in (
            "prompt_tokens",
            "cached_tokens",
            "completion_tokens",
            "reasoning_tokens",
            "cost_micros",
        )
    ),
)


def groups(
    connection: Connection,
    selection: Selection,
    dimensions: Sequence[Dimension],
    *,
    limit: int,
    after: Sequence[str] | None = None,
) -> tuple[list[Usage], bool]:
    """A page of groups.

    Args:
        dimensions: columns to group by, none twice.
        limit: groups of the page, 1 to MAX_GROUPS.
        after: the values and the currency of the group before the page.

    Returns:
        The groups, and whether there are more after them.

    Raises:
        ValueError: the limit is out of its range, or ``after`` is of other dimensions.
    """
    if not 1 <= limit <= MAX_GROUPS:
        raise ValueError(f"a page has 1 to {MAX_GROUPS} groups, not {limit}")
    keys = [*(_COLUMNS[name] for name in dimensions), ledger.c.currency]
    query = select(*keys, *_SUMS).where(_chosen(selection)).group_by(*keys).order_by(*keys)
    if after is not None:
        query = query.where(_is_after(keys, after))
    rows = connection.execute(query.limit(limit + 1)).all()
    return [_usage(row, len(dimensions)) for row in rows[:limit]], len(rows) > limit


def totals(connection: Connection, selection: Selection) -> list[Usage]:
    """The sums of all, one for each currency."""
    return groups(connection, selection, (), limit=MAX_CURRENCIES)[0]


def has_any(connection: Connection, *, tenant: str, owner: str, key: str) -> bool:
    """Whether the ledger has an entry of that key that is of this tenant and owner."""
    mine = and_(ledger.c.tenant == tenant, ledger.c.owner == owner, ledger.c.key_id == key)
    return bool(connection.execute(select(exists().where(mine))).scalar_one())


def _chosen(selection: Selection) -> ColumnElement[bool]:
    wanted = {
        ledger.c.tenant: selection.tenant,
        ledger.c.owner: selection.owner,
        ledger.c.key_id: selection.key,
        ledger.c.model: selection.model,
    }
    return and_(
        ledger.c.day >= selection.first_day,
        ledger.c.day <= selection.last_day,
        *(column == value for column, value in wanted.items() if value is not None),
    )


def _is_after(keys: Sequence[ColumnElement[str]], values: Sequence[str]) -> ColumnElement[bool]:
    """Whether a row stands behind the values. Written out: row values differ between databases."""
    found: list[ColumnElement[bool]] = []
    same: ColumnElement[bool] = true()
    for key, value in zip(keys, values, strict=True):
        found.append(and_(same, key > literal(value)))
        same = and_(same, key == literal(value))
    return or_(*found)


def _usage(row: Any, num_dimensions: int) -> Usage:
    # A sum is an integer in SQLite, and a Decimal without a fraction in PostgreSQL.
    sums = [int(value) for value in row[num_dimensions + 1 :]]
    return Usage(
        group=tuple(row[:num_dimensions]),
        currency=row[num_dimensions],
        num_requests=sums[0],
        prompt_tokens=sums[1],
        cached_tokens=sums[2],
        completion_tokens=sums[3],
        reasoning_tokens=sums[4],
        cost_micros=sums[5],
    )
