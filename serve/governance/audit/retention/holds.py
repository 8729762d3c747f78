"""The file of legal holds: what must not be pruned or erased, whatever its age.

::

    [[hold]]
    name = "case-2026-114"      # for messages
    tenant = "research"         # of this tenant alone; else of every one
    owner = "kim"               # of this person or program alone
    from = 2026-03-01           # from this day or moment on (UTC where nothing else is said)
    to = 2026-04-01             # and before this one

A hold names at least one of the four, or says ``everything = true``. The file is read by each
command anew: what is taken out of it is held no longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from serve.errors import StartupError
from serve.governance.typed_tables import TypedTable, read_typed

MAX_FILE_BYTES: Final = 1 << 20
_Name = Annotated[str, Field(min_length=1, max_length=256)]


class HoldTable(TypedTable):
    """One table ``[[hold]]``."""

    model_config = ConfigDict(strict=True)

    name: _Name
    tenant: _Name | None = None
    owner: _Name | None = None
    first: datetime | date | None = Field(None, alias="from")
    last: datetime | date | None = Field(None, alias="to")
    everything: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        parts = (self.tenant, self.owner, self.first, self.last)
        has_part = any(part is not None for part in parts)
        if has_part == self.everything:
            raise ValueError(
                "it names tenant, owner, from or to; or says everything = true, and nothing else"
            )
        if self.first and self.last and _moment(self.first) >= _moment(self.last):
            raise ValueError("from is not before to")
        return self


class _File(TypedTable):
    hold: list[HoldTable] = Field(default_factory=list, max_length=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One legal hold. None of a part is every one.

    Attributes:
        first, last: Unix seconds; ``last`` is no longer held.
    """

    name: str
    tenant: str | None = None
    owner: str | None = None
    first: float | None = None
    last: float | None = None

    def covers(self, tenant: str | None, owner: str | None, at: float) -> bool:
        """Whether an entry is held.

        Args:
            tenant, owner: of the entry; None where it is nobody's.
            at: its time, Unix seconds.
        """
        return (
            (self.tenant is None or self.tenant == tenant)
            and (self.owner is None or self.owner == owner)
            and self.covers_time(at)
        )

    def covers_time(self, at: float) -> bool:
        """Whether entries of this time, Unix seconds, are held, if they are of its subjects."""
        return (self.first is None or at >= self.first) and (self.last is None or at < self.last)

    def covers_subject(self, tenant: str, owner: str | None) -> bool:
        """Whether anything of a subject may be held: a destroyed key destroys all times at once.

        Args:
            owner: None for every owner of the tenant.
        """
        return (self.tenant is None or self.tenant == tenant) and (
            self.owner is None or owner is None or self.owner == owner
        )


def load(path: Path) -> tuple[Hold, ...]:
    """The holds of a file.

    Raises:
        StartupError: it cannot be read, or something in it is wrong; with the file and the place.
    """
    tables = read_typed(path, "file of legal holds", _File, MAX_FILE_BYTES).hold
    names = [table.name for table in tables]
    if twice := [name for name in names if names.count(name) > 1]:
        raise StartupError(f"file of legal holds {path}: the hold {twice[0]!r} stands there twice.")
    return tuple(_hold(table) for table in tables)


def holding(holds: Sequence[Hold], tenant: str | None, owner: str | None, at: float) -> Hold | None:
    """The first hold that covers an entry."""
    return next((hold for hold in holds if hold.covers(tenant, owner, at)), None)


def _hold(table: HoldTable) -> Hold:
    return Hold(
        name=table.name,
        tenant=table.tenant,
        owner=table.owner,
        first=None if table.first is None else _moment(table.first),
        last=None if table.last is None else _moment(table.last),
    )


def _moment(value: datetime | date) -> float:
    """Unix seconds of a moment, or of a day's beginning."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
