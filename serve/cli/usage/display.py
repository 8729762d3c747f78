"""A report on a terminal: a table with its sums, and bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from models.rules.names import printable
from serve.governance.usage.reports import UsageReport, decimal
from serve.storage.usage_sums import Dimension, Usage

Measure = Literal["tokens", "requests", "cost"]

MAX_BARS: Final = 62
BAR_CHARS: Final = 40
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_FIGURES: Final = ("requests", "prompt", "cached", "completion", "reasoning")


def shown(report: UsageReport, measure: Measure) -> RenderableType:
    """The table, and below it the bars."""
    return Group(table(report), Text(""), *bars(report, measure))


def table(report: UsageReport) -> Table:
    """A row for each group, and the sums of all in the last."""
    made = Table(box=None, padding=(0, 1, 0, 0), show_footer=bool(report.groups))
    totals = _numbers(report.totals)
    for at, dimension in enumerate(report.group_by):
        made.add_column(dimension, "" if at else "total")
    for name, total in zip(_FIGURES, totals, strict=True):
        made.add_column(name, total, justify="right", no_wrap=True)
    costs = "\n".join(_moneys(report.totals))
    made.add_column("cost", costs, justify="right", no_wrap=True)
    for usage in report.groups:
        # Not as markup, and without control characters: names may be of another hand.
        names = (Text(printable(value) or "-") for value in usage.group)
        made.add_row(*names, *_numbers([usage]), "".join(_moneys([usage])))
    return made


def bars(report: UsageReport, measure: Measure) -> Iterator[Text]:
    """A bar for each day, or for each value of what the report is first grouped by.

    Money of each currency has bars of its own.
    """
    if not report.groups:
        yield Text("Nothing was used.")
    elif measure != "cost":
        what = "tokens of prompts and completions" if measure == "tokens" else measure
        yield from _bars(report, report.groups, measure, what)
    else:
        currencies = sorted({usage.currency for usage in report.groups} - {""})
        for currency in currencies:
            groups = [usage for usage in report.groups if usage.currency == currency]
            yield from _bars(report, groups, measure, f"cost in {printable(currency)}")
        if not currencies:
            yield Text("No cost to draw.")


def _bars(
    report: UsageReport, groups: Sequence[Usage], measure: Measure, what: str
) -> Iterator[Text]:
    sums = _sums(report, groups, measure)
    most = max(1, *sums.values())
    width = max(map(len, sums))
    yield Text(f"{what} by {_drawn(report)}", style="bold")
    for at, (name, value) in enumerate(sums.items()):
        if at == MAX_BARS:
            yield Text(f"and {len(sums) - MAX_BARS} more", style="dim")
            return
        told = decimal(value) if measure == "cost" else f"{value:,}"
        line = Text(f"{name:{width}}  ")
        line.append(bar(value, most), style="cyan")
        yield line.append(f" {told}")


def bar(value: int, most: int) -> str:
    """A bar of blocks, in eighths of a character; what is not nothing can be seen."""
    eighths = max(value * BAR_CHARS * 8 // most, 1 if value > 0 else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _drawn(report: UsageReport) -> Dimension:
    return "day" if "day" in report.group_by else report.group_by[0]


def _sums(report: UsageReport, groups: Sequence[Usage], measure: Measure) -> Mapping[str, int]:
    """Sums to draw; days without usage have bars of nothing, so that gaps are seen."""
    at = report.group_by.index(_drawn(report))
    sums = dict.fromkeys(_days(report), 0) if _drawn(report) == "day" else {}
    for usage in groups:
        name = printable(usage.group[at]) or "-"
        sums[name] = sums.get(name, 0) + _amount(usage, measure)
    return sums


def _days(report: UsageReport) -> Iterator[str]:
    first, last = date.fromisoformat(report.first_day), date.fromisoformat(report.last_day)
    if report.next is not None or (last - first).days >= MAX_BARS:
        return
    for number in range((last - first).days + 1):
        yield (first + timedelta(days=number)).isoformat()


def _amount(usage: Usage, measure: Measure) -> int:
    if measure == "requests":
        return usage.num_requests
    if measure == "cost":
        return usage.cost_micros
    return usage.prompt_tokens + usage.completion_tokens


def _numbers(usages: Sequence[Usage]) -> list[str]:
    sums = (
        sum(usage.num_requests for usage in usages),
        sum(usage.prompt_tokens for usage in usages),
        sum(usage.cached_tokens for usage in usages),
        sum(usage.completion_tokens for usage in usages),
        sum(usage.reasoning_tokens for usage in usages),
    )
    return [f"{value:,}" for value in sums]


def _moneys(usages: Iterable[Usage]) -> list[str]:
    return [
        f"{decimal(usage.cost_micros)} {printable(usage.currency)}"
        for usage in usages
        if usage.currency
    ]
