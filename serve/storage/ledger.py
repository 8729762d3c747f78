"""The ledger: a row for each request that ran, entered with the settlement of its budgets.

Row and settlement are one transaction, so the accounts of the budgets are the ledger's sums. A
request's row is its receipt: where it is there, its settlement is done, and another attempt, by a
replica that was not told of the first one's success, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from serve.storage.counting.counters import Balance, Claim
from serve.storage.counting.sql_counters import balances_in, settle_in
from serve.storage.schema import ledger as table


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
        values = asdict(self)
        for column in table.columns:
            length = getattr(column.type, "length", None)
            if length is not None:
                values[column.name] = values[column.name].replace("\0", "")[:length]
        return LedgerRow(**values)


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
        names = {field.name for field in fields(LedgerRow)}
        row = {name: value for name, value in document["row"].items() if name in names}
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

        def work(connection: Connection) -> None:
            for settlement in settlements:
                self._enter(connection, settlement)

        await self._database.write(work)

    def _enter(self, connection: Connection, settlement: Settlement) -> None:
        dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
        row = settlement.row.fitted()
        insert = dialect.insert(table).values(**asdict(row)).on_conflict_do_nothing()
        # By what it returns: the count of rows is not known on PostgreSQL.
        if connection.execute(insert.returning(table.c.request_id)).first() is None:
            return
        if settlement.claims:
            settle_in(connection, row.request_id, settlement.claims)
            balances = balances_in(connection, settlement.claims) if self._also else ()
            for also in self._also:
                also(connection, settlement, balances)
