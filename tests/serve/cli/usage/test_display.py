"""Reports on a terminal: the table's sums, and bars that are as long as they should be."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from serve.cli.usage.display import BAR_CHARS, MAX_BARS, bar, bars, shown
from serve.governance.usage.reports import UsageReport
from serve.storage.ledger_reports import Usage

ONE = Usage(
    group=("2026-11-02", "demo"),
    currency="EUR",
    num_requests=1200,
    prompt_tokens=30,
    cached_tokens=20,
    completion_tokens=10,
    reasoning_tokens=5,
    cost_micros=1_500_000,
)


def report(*groups: Usage, totals: tuple[Usage, ...] = (ONE,), **changed) -> UsageReport:
    made = UsageReport(
        first_day="2026-11-01",
        last_day="2026-11-03",
        time_zone="UTC",
        group_by=("day", "model"),
        groups=groups,
        totals=totals,
    )
    return replace(made, **changed)


def printed(what: UsageReport, measure="tokens") -> list[str]:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(shown(what, measure))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_table_has_its_sums():
    other = replace(ONE, currency="CNY", num_requests=1, cost_micros=1)
    lines = printed(report(ONE, replace(other, group=("2026-11-02", "x")), totals=(ONE, other)))
    assert lines[0].split() == [
        *("day", "model", "requests", "prompt", "cached", "completion", "reasoning", "cost")
    ]
    assert lines[1].split() == [
        *("2026-11-02", "demo", "1,200", "30", "20", "10", "5", "1.500000", "EUR")
    ]
    assert lines[3].split() == ["total", "1,201", "60", "40", "20", "10", "1.500000", "EUR"]
    assert lines[4].split() == ["0.000001", "CNY"]


def test_days_without_usage_are_seen():
    lines = printed(report(ONE))
    assert lines[-3:] == [
        "2026-11-01   0",
        "2026-11-02  " + "█" * BAR_CHARS + " 40",
        "2026-11-03   0",
    ]


def test_other_measures():
    assert printed(report(ONE), "requests")[-2].endswith(" 1,200")
    assert printed(report(ONE), "cost")[-2].endswith(" 1.500000")
    free = replace(ONE, currency="", cost_micros=0)
    assert printed(report(free, totals=(free,)), "cost")[-1] == "No cost to draw."


def test_money_of_each_currency_has_bars_of_its_own():
    other = replace(ONE, currency="CNY", cost_micros=9_000_000)
    lines = printed(report(ONE, other), "cost")
    titles = [line for line in lines if line.startswith("cost in")]
    assert titles == ["cost in CNY by day", "cost in EUR by day"]
    full = "█" * BAR_CHARS
    assert f"2026-11-02  {full} 9.000000" in lines
    assert f"2026-11-02  {full} 1.500000" in lines


def test_without_days_it_is_by_the_first_name():
    groups = tuple(replace(ONE, group=(name,)) for name in ("demo", "", "a\x1b[31m"))
    lines = printed(report(*groups, group_by=("model",)))
    assert lines[-4:-3] == ["tokens of prompts and completions by model"]
    assert [line.split()[0] for line in lines[-3:]] == ["demo", "-", "a\\x1b[31m"]


def test_nothing():
    assert printed(report(totals=()))[-1] == "Nothing was used."


def test_bars_are_bounded():
    groups = tuple(replace(ONE, group=(f"model {number}",)) for number in range(MAX_BARS + 5))
    lines = [str(line) for line in bars(report(*groups, group_by=("model",)), "tokens")]
    assert len(lines) == MAX_BARS + 2
    assert lines[-1] == "and 5 more"


def test_a_bar_is_a_share_in_eighths():
    assert bar(0, 100) == ""
    assert bar(1, 10**9) == "▏"
    assert bar(50, 100) == "█" * (BAR_CHARS // 2)
    assert len(bar(99, 100)) == BAR_CHARS
