"""`python -m benchmarks diff A.json B.json`: what really changed between two reports.

A figure changed where the 95 % interval of the ratio of the two medians leaves out 1 and the
change is larger than --least; the interval is by bootstrap over the rounds of each. Rounds of two
runs are not paired: what else the machine did in between is not in the interval, so small changes
need a run in which both are measured in turn (`compare`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich import box
from rich.table import Table

from benchmarks import intervals
from benchmarks.report.document import Document, Row
from benchmarks.report.figures import KINDS
from benchmarks.report.output import refusals
from models.cli import output
from models.cli.options import Commands, command

SCHEMA = "intramural.benchmark-diff/1"
Verdict = Literal["better", "worse", "same", "unknown"]
_EPILOG = """
    examples:
      python -m benchmarks diff before.json after.json
      python -m benchmarks diff before.json after.json --fail-if-worse --least 0.05

    A file is what --out wrote, or the kept stdout of a command. The last line of stdout is JSON.

    exit codes: 0 compared, 1 something is worse (with --fail-if-worse), 2 refused
"""
_MARKS = {"better": "green", "worse": "bold red", "same": "", "unknown": "yellow"}
WORSE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure of one row in both reports.

    Attributes:
        ratio: after by before, as measured.
        low, high: of the 95 % interval; None with fewer than three rounds in one of them.
        verdict: ``unknown`` where the noise is not known.
    """

    model: str
    system: str
    case: str
    figure: str
    before: float
    after: float
    ratio: float
    low: float | None
    high: float | None
    verdict: Verdict


def changes(before: Document, after: Document, *, least: float) -> Iterator[Change]:
    """Every figure that both reports have.

    Args:
        before: one report.
        after: the other.
        least: a smaller change is none, as a share.
    """
    later = {row.key: row for row in after.rows}
    for row in before.rows:
        other = later.get(row.key)
        for name in row.samples if other is not None else ():
            if other is not None and (change := _change(row, other, name, least)):
                yield change


def _change(before: Row, after: Row, name: str, least: float) -> Change | None:
    ones, others = before.samples[name], after.samples.get(name, ())
    kind = KINDS.get(name)
    if kind is None or kind.better == "neither" or not ones or not others:
        return None
    if min([*ones, *others]) <= 0:
        return None  # shares of 0 have no ratio
    interval = intervals.ratio_of_medians(others, ones)
    verdict: Verdict = "same"
    if interval.low is None or interval.high is None:
        verdict = "unknown"
    elif (interval.low > 1 or interval.high < 1) and abs(interval.middle - 1) >= least:
        verdict = "better" if (interval.middle > 1) == (kind.better == "more") else "worse"
    return Change(
        model=before.model,
        system=before.name,
        case=before.case,
        figure=name,
        before=before.median(name) or 0.0,
        after=after.median(name) or 0.0,
        ratio=interval.middle,
        low=interval.low,
        high=interval.high,
        verdict=verdict,
    )


def machine_differs(before: Document, after: Document) -> list[str]:
    """Facts of the machine that are not the same, in words."""
    names = ("processor", "cores", "threads", "gpu", "instructions", "libraries")
    return [
        f"{name}: {before.machine.get(name)} and {after.machine.get(name)}"
        for name in names
        if before.machine.get(name) != after.machine.get(name)
    ]


def add_command(commands: Commands) -> None:
    """Add `diff`."""
    parser = command(
        commands,
        "diff",
        text="what really changed between two reports, given the noise",
        run=_run,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("before", type=Path, metavar="A.json")
    add("after", type=Path, metavar="B.json")
    add("--least", type=float, default=0.02, help="a smaller change is none, as a share (0.02)")
    add("--all", action="store_true", help="show what did not change, too")
    add("--fail-if-worse", action="store_true", help="exit with 1 if anything is worse")


def _run(options: argparse.Namespace) -> int:
    with refusals():
        before, after = Document.read(options.before), Document.read(options.after)
        found_changes = list(changes(before, after, least=options.least))
        if not found_changes:
            raise ValueError(
                f"{options.before} and {options.after} have no figure of the same model, system "
                "and case in common"
            )
    console = output.console(stderr=options.json)
    differs = machine_differs(before, after)
    for line in differs:
        console.print(f"not the same machine: {line}", style="yellow", highlight=False)
    shown = [
        change for change in found_changes if options.all or change.verdict in ("better", "worse")
    ]
    unknown = sum(change.verdict == "unknown" for change in found_changes)
    if shown:
        console.print(_table(shown))
    rest = len(found_changes) - len(shown)
    summary = f"{len(shown)} shown; {rest} did not change beyond the noise"
    if unknown and not options.all:
        summary += f", or had too few rounds to tell ({unknown})"
    console.print(summary, highlight=False)
    document = {"schema": SCHEMA, "machine_differs": differs}
    print(json.dumps(document | {"changes": [asdict(change) for change in found_changes]}))
    is_worse = any(change.verdict == "worse" for change in found_changes)
    return WORSE if options.fail_if_worse and is_worse else 0


def _table(shown: Sequence[Change]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("model", "system", "case", "figure"):
        table.add_column(heading)
    for heading in ("before", "after", "change", "95 %"):
        table.add_column(heading, justify="right")
    for change in shown:
        kind = KINDS[change.figure]
        between = "-"
        if change.low is not None and change.high is not None:
            between = f"{change.low - 1:+.1%} to {change.high - 1:+.1%}"
        table.add_row(
            change.model,
            change.system,
            change.case,
            kind.label,
            kind.text(change.before),
            kind.text(change.after),
            f"{change.ratio - 1:+.1%}",
            between,
            style=_MARKS[change.verdict],
        )
    return table
