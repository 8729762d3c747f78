"""Reports of usage: whose a caller may see, and the answers' form in JSON.

The tenant and the owner of a principal stand in each query of one's own; nothing that is asked can
take them out. A key of somebody else is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from models.rules.names import quoted
from serve.errors import RouteNotFound
from serve.governance.limits.rules import user_of
from serve.governance.principal import Principal
from serve.governance.usage.query import UsageQuery, cursor
from serve.storage.usage_sums import Dimension, Selection, Usage

if TYPE_CHECKING:  # the routes are there also where nothing needs a database's libraries
    from serve.storage.database import Database

MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """A page of groups, and the sums of all that was asked for.

    Attributes:
        totals: one for each currency.
        next: the cursor of the next page; None on the last one.
    """

    first_day: str
    last_day: str
    time_zone: str
    group_by: tuple[Dimension, ...]
    groups: tuple[Usage, ...]
    totals: tuple[Usage, ...]
    next: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The report as the routes answer it, and `python -m serve usage --json` prints it."""
        return {
            "object": "usage",
            "from": self.first_day,
            "to": self.last_day,
            "time_zone": self.time_zone,
            "group_by": list(self.group_by),
            "data": [
                {**self._named(usage), **_figures([usage]), "cost": _money(usage)}
                for usage in self.groups
            ],
            "totals": {
                **_figures(self.totals),
                "costs": [money for usage in self.totals if (money := _money(usage))],
            },
            "has_more": self.next is not None,
            "next": self.next,
        }

    def _named(self, usage: Usage) -> dict[str, str]:
        return {str(name): value for name, value in zip(self.group_by, usage.group, strict=True)}


class UsageReports:
    """The ledger's reports.

    Args:
        zone: the time zone in which the ledger's days begin and end.
    """

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self._database = database
        self._zone = zone

    async def own(self, principal: Principal, query: UsageQuery) -> UsageReport:
        """Usage of the principal's own: of its tenant and owner.

        Raises:
            InvalidRequest: the days asked for cannot be.
            RouteNotFound: the key is not one of its own.
            StoreUnavailable: the database does not answer.
        """
        mine = replace(query, tenant=principal.tenant, owner=user_of(principal))
        if not principal.owner:  # nobody's: then a key has nothing in common with another
            mine = replace(mine, key=query.key or principal.key_id)
        if mine.key not in {None, principal.key_id} and not await self._is_own(principal, mine.key):
            raise RouteNotFound(
                f"There is no key {quoted(mine.key or '')} of yours that was used.", param="key"
            )
        return await self.everyone(mine)

    async def everyone(self, query: UsageQuery) -> UsageReport:
        """Usage of all that the query names. Raises as ``own`` does, but for RouteNotFound."""
        from serve.storage import ledger_reports  # noqa: PLC0415
        from serve.storage.clock import now_ms  # noqa: PLC0415

        now = datetime.fromtimestamp(await self._database.read(now_ms) / 1000, self._zone)
        first, last = query.days(now.date())
        selection = Selection(
            first_day=first.isoformat(),
            last_day=last.isoformat(),
            tenant=query.tenant,
            owner=query.owner,
            key=query.key,
            model=query.model,
        )
        (groups, has_more), totals = await self._database.report(
            lambda connection: (
                ledger_reports.groups(
                    connection, selection, query.group_by, limit=query.limit, after=query.after
                ),
                ledger_reports.totals(connection, selection),
            )
        )
        end = (*groups[-1].group, groups[-1].currency) if has_more else None
        return UsageReport(
            first_day=selection.first_day,
            last_day=selection.last_day,
            time_zone=self._zone.key,
            group_by=query.group_by,
            groups=tuple(groups),
            totals=tuple(totals),
            next=cursor(query.group_by, end) if end else None,
        )

    async def _is_own(self, principal: Principal, key: str | None) -> bool:
        if not principal.owner or key is None:
            return False
        from serve.storage import ledger_reports  # noqa: PLC0415

        return await self._database.read(
            lambda connection: ledger_reports.has_any(
                connection, tenant=principal.tenant, owner=principal.owner, key=key
            )
        )


def decimal(micros: int) -> str:
    """Millionths as a decimal number with six places: ``-0.000001``, ``12.500000``."""
    whole, part = divmod(abs(micros), MICROS)
    return f"{'-' if micros < 0 else ''}{whole}.{part:06d}"


def _figures(usages: Sequence[Usage]) -> dict[str, int]:
    return {
        "requests": sum(usage.num_requests for usage in usages),
        "prompt_tokens": sum(usage.prompt_tokens for usage in usages),
        "cached_tokens": sum(usage.cached_tokens for usage in usages),
        "completion_tokens": sum(usage.completion_tokens for usage in usages),
        "reasoning_tokens": sum(usage.reasoning_tokens for usage in usages),
    }


def _money(usage: Usage) -> dict[str, str] | None:
    """The cost; None where there were no prices."""
    if not usage.currency:
        return None
    return {"amount": decimal(usage.cost_micros), "currency": usage.currency}
