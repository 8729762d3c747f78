"""The shapes of usage reports, for /openapi.json, and an example of each form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field

from serve.api.openai.schemas import Reply
from serve.api.operations.report_routes import described_report
from serve.governance.usage.query import cursor
from serve.storage.usage_sums import MAX_GROUPS


class Money(Reply):
    """An amount of money; a decimal number with six places, as text, so that none is rounded."""

    amount: str
    currency: str


class UsageGroup(Reply):
    """Sums of one group, with the values that make it one. Groups never mix currencies.

    ``cached_tokens`` are part of the prompt's, ``reasoning_tokens`` of the completion's. ``cost``
    is null where there were no prices.
    """

    day: str = ""
    model: str = ""
    key: str = ""
    tenant: str = ""
    owner: str = ""
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: Money | None


class UsageTotals(Reply):
    """Sums of all that was asked for, whatever the page; a cost for each currency."""

    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    costs: list[Money]


class UsagePage(Reply):
    """A page of groups. ``next`` asks for the next one, as ``after``; null on the last."""

    object: Literal["usage"]
    from_: str = Field(alias="from")
    to: str
    time_zone: str
    group_by: list[str]
    data: list[UsageGroup]
    totals: UsageTotals
    has_more: bool
    next: str | None


_FIGURES: Final = {
    "requests": 412,
    "prompt_tokens": 981_400,
    "cached_tokens": 640_000,
    "completion_tokens": 120_311,
    "reasoning_tokens": 40_007,
}
_COST: Final = {"amount": "3.141593", "currency": "EUR"}
EXAMPLE: Final[Mapping[str, Any]] = {
    "object": "usage",
    "from": "2026-11-01",
    "to": "2026-11-30",
    "time_zone": "Europe/Berlin",
    "group_by": ["day", "model"],
    "data": [{"day": "2026-11-29", "model": "demo", **_FIGURES, "cost": _COST}],
    "totals": {**_FIGURES, "costs": [_COST]},
    "has_more": True,
    "next": cursor(["day", "model"], ["2026-11-29", "demo", "EUR"]),
}
CSV_EXAMPLE: Final = (
    "day,model,requests,prompt_tokens,cached_tokens,completion_tokens,reasoning_tokens,cost,"
    "currency\r\n2026-11-29,demo,412,981400,640000,120311,40007,3.141593,EUR\r\n"
)


def described_usage(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The part of /openapi.json that a report's route adds."""
    return described_report(
        "usage",
        UsagePage,
        EXAMPLE,
        parameters,
        most=MAX_GROUPS,
        meaning="The report. As CSV its next page is in the header Link.",
        csv_example=CSV_EXAMPLE,
    )
