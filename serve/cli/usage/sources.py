"""Sources of reports: the database that the settings name, or a server that is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from pydantic import ValidationError

from serve.api.operations.usage_shapes import Money, UsageGroup, UsagePage
from serve.cli.chat.server import AskError, Server
from serve.composition.usage import open_usage, time_zone_of
from serve.config import Config
from serve.errors import StartupError
from serve.governance.usage.query import UsageQuery, cursor
from serve.governance.usage.reports import MICROS, UsageReport
from serve.storage.configured import place_of
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.migrating import is_made
from serve.storage.places import SqliteFile
from serve.storage.usage_sums import MAX_GROUPS, Dimension, Usage

OWN, EVERYONE = "/v1/usage", "/admin/usage"

Fetch = Callable[[UsageQuery], Awaitable[UsageReport]]


async def from_database(config: Config, query: UsageQuery, *, limit: int) -> UsageReport:
    """Everybody's usage, as the settings' database has it. Nothing is written or made.

    Raises:
        StartupError: there is no database, or it does not answer.
        InvalidRequest: the days asked for cannot be.
    """
    place = place_of(config)
    if (isinstance(place, SqliteFile) and not place.path.exists()) or not is_made(place):
        raise StartupError(
            f"{place} has no ledger. A server writes one with --limits-file, "
            "--usage-ledger or --database-url-file. Name its --state-dir or --database-url-file "
            "here, or ask the server: --url."
        )
    zone = time_zone_of(config.limits_file)
    async with open_usage(config, time_zone=zone, is_kept=True) as reports:
        if reports is None:
            raise StartupError("There is no ledger.")
        try:
            return await _collected(reports.everyone, query, limit)
        except StoreUnavailable as error:
            raise StartupError(f"{place} does not answer: {error}.") from None


async def from_server(
    server: Server, asked: Mapping[str, str], query: UsageQuery, *, path: str, limit: int
) -> UsageReport:
    """Usage as a server reports it.

    Args:
        asked: the query's parameters as they were written.
        path: OWN or EVERYONE.

    Raises:
        AskError: it does not answer, or refuses.
    """

    async def fetch(page: UsageQuery) -> UsageReport:
        more = {"limit": str(page.limit)}
        if page.after is not None:
            more["after"] = cursor(page.group_by, page.after)
        document = server.document(path, {**asked, **more, "format": "json"})
        try:
            return _report_of(UsagePage.model_validate(document))
        except (ValidationError, ValueError):
            raise AskError(
                f"{server.base} answers, but not with a report of usage. Is it this program?"
            ) from None

    return await _collected(fetch, query, limit)


async def _collected(fetch: Fetch, query: UsageQuery, limit: int) -> UsageReport:
    """One report of all pages, up to so many groups."""
    groups: list[Usage] = []
    while True:
        page = replace(query, limit=min(MAX_GROUPS, limit - len(groups)))
        report = await fetch(page)
        groups += report.groups
        if report.next is None or len(groups) >= limit or not report.groups:
            return replace(report, groups=tuple(groups))
        last = report.groups[-1]
        query = replace(query, after=(*last.group, last.currency))


def _report_of(page: UsagePage) -> UsageReport:
    group_by: tuple[Dimension, ...] = tuple(page.group_by)  # type: ignore[arg-type]
    totals = page.totals
    first_cost = totals.costs[0] if totals.costs else None
    first = Usage(
        group=(),
        currency=first_cost.currency if first_cost else "",
        num_requests=totals.requests,
        prompt_tokens=totals.prompt_tokens,
        cached_tokens=totals.cached_tokens,
        completion_tokens=totals.completion_tokens,
        reasoning_tokens=totals.reasoning_tokens,
        cost_micros=_micros(first_cost),
    )
    return UsageReport(
        first_day=page.from_,
        last_day=page.to,
        time_zone=page.time_zone,
        group_by=group_by,
        groups=tuple(_usage_of(group, group_by) for group in page.data),
        totals=(first, *map(_only_money, totals.costs[1:])),
        next=page.next,
    )


def _usage_of(group: UsageGroup, group_by: tuple[Dimension, ...]) -> Usage:
    return Usage(
        group=tuple(str(getattr(group, name)) for name in group_by),
        currency=group.cost.currency if group.cost else "",
        num_requests=group.requests,
        prompt_tokens=group.prompt_tokens,
        cached_tokens=group.cached_tokens,
        completion_tokens=group.completion_tokens,
        reasoning_tokens=group.reasoning_tokens,
        cost_micros=_micros(group.cost),
    )


_NOTHING: Final = Usage(
    group=(),
    currency="",
    num_requests=0,
    prompt_tokens=0,
    cached_tokens=0,
    completion_tokens=0,
    reasoning_tokens=0,
    cost_micros=0,
)


def _only_money(cost: Money) -> Usage:
    return replace(_NOTHING, currency=cost.currency, cost_micros=_micros(cost))


def _micros(cost: Money | None) -> int:
    """Millionths of an amount with six places. Raises ValueError where it is none."""
    if cost is None:
        return 0
    whole, _, part = cost.amount.partition(".")
    if len(part) != 6:
        raise ValueError("an amount has six places")
    sign = -1 if whole.startswith("-") else 1
    return sign * (abs(int(whole)) * MICROS + int(part))
