"""The ledger: a row for each request that ran, entered with the settlement of its budgets.

Row and settlement are one transaction, so the accounts of the budgets are the ledger's sums. A
request's row is its receipt: where it is there, its settlement is done, and another attempt, by a
replica that was not told of the first one's success, changes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

from sqlalchemy import Connection, insert, select

from serve.storage.counting.counters import Balance, Claim
from serve.storage.counting.sql_counters import SettleAndTell, done_in
from serve.storage.prepared import Prepared, among, padded
from serve.storage.schema import ledger as table
from serve.storage.together import Together

MAX_TOGETHER = 100
"""Settlements that single statements enter: of 64 claims each they name what SQLite can take."""
_KNOWN = Prepared(
    lambda ids: select(table.c.request_id).where(among(table.c.request_id, "ids", ids))
)
_INSERT = Prepared(lambda: insert(table))
_LENGTHS: dict[str, int] = {
    column.name: length
    for column in table.columns
    if (length := getattr(column.type, "length", None)) is not None
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One request that ran; the columns of the table.

    Attributes:
        day: YYYY-MM-DD, of its budgets: the one in which it was reserved.
        outcome: a finish reason, an error's code, ``cached`` or ``disconnected``.
        arm: of the experiment that answered; empty without one.
    """

    request_id: str
    finished_at_ms: int
    day: str
    tenant: str
    owner: str
    key_id: str
    model: str
    route: str
    outcome: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_micros: int
    currency: str
    arm: str = ""

    def fitted(self) -> LedgerRow:
        """The same, with texts cut to what the columns hold."""
        changed: dict[str, Any] = {}
        for name, length in _LENGTHS.items():
            text: str = getattr(self, name)
            if len(text) > length or "\0" in text:
                changed[name] = text.replace("\0", "")[:length]
        return replace(self, **changed) if changed else self

    def as_values(self) -> dict[str, Any]:
        """Values by the columns' names."""
        return {name: getattr(self, name) for name in _COLUMNS}


_COLUMNS = tuple(field.name for field in fields(LedgerRow))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A request's end: what its budgets are charged, and its row.

    Attributes:
        claims: of the reservation of the row's ``request_id``; none where no budget is for it.
    """

    claims: tuple[Claim, ...]
    row: LedgerRow

    def as_json(self) -> dict[str, Any]:
        return {"claims": [asdict(claim) for claim in self.claims], "row": asdict(self.row)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Settlement:
        """The settlement again. Raises KeyError, TypeError where it is none of ours."""
        row = {name: value for name, value in document["row"].items() if name in _COLUMNS}
        return cls(
            claims=tuple(Claim(**claim) for claim in document["claims"]), row=LedgerRow(**row)
        )


class Writes(Protocol):
    """A database that writes (serve.storage.database.Database)."""

    async def write(self, work: Callable[[Connection], None], /) -> None: ...


AlsoEnter = Callable[[Connection, Settlement, Sequence[Balance]], None]
"""Writes more in the transaction of a settlement, such as alerts of budgets: it is given the
balances of the settlement's claims after it."""


class Ledger:
    """Enters settlements into the database.

    Args:
        database: which keeps the budgets, too.
        also: done in the transaction of each settlement, after it.
    """

    def __init__(self, database: Writes, also: Sequence[AlsoEnter] = ()) -> None:
        self._database = database
        self._also = also

    async def enter(self, settlements: Sequence[Settlement]) -> None:
        """Enter all of them, or none. Those that are entered already are passed over.

        Raises:
            StoreUnavailable: whether they were entered is not known; it may be called again.
        """
        await self._database.write(Together(self._enter, settlements))

    def _enter(
        self, connection: Connection, entered: Sequence[Sequence[Settlement]]
    ) -> Sequence[None]:
        """Enter those of several calls."""
        remaining = itertools.chain.from_iterable(entered)
        while some := list(itertools.islice(remaining, MAX_TOGETHER)):
            self._enter_some(connection, some)
        return [None] * len(entered)

    def _enter_some(self, connection: Connection, settlements: Iterable[Settlement]) -> None:
        new: dict[str, tuple[LedgerRow, Settlement]] = {}
        for settlement in settlements:
            row = settlement.row.fitted()
            new.setdefault(row.request_id, (row, settlement))
        # Whoever enters has its turn to write: no row comes between this look and the insert.
        for known in _KNOWN.execute(connection, {"ids": padded(list(new))}).scalars():
            del new[known]
        if not new:
            return
        _INSERT.execute_all(connection, [row.as_values() for row, _ in new.values()])
        charged = [(name, each) for name, (_, each) in new.items() if each.claims]
        if not charged:
            return
        told = done_in(connection, [SettleAndTell(name, each.claims) for name, each in charged])
        for also in self._also:
            for (_, settlement), balances in zip(charged, told, strict=True):
                also(connection, settlement, balances)
