"""`python -m benchmarks.scaling`: the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import json_lines
from benchmarks.scaling import arrivals, picture, plans, report
from benchmarks.scaling.replica import Costs
from benchmarks.scaling.simulation import Day
from models import command_line
from models.cli import output

REFUSED = command_line.REFUSED

_EPILOG = """\
A day's requests are played against fixed sizes, against the HorizontalPodAutoscaler of
k8s/components/hpa and against KEDA's scale to zero. Replicas are computed, not run: give what
`python -m benchmarks.scaling.measure` measured of one. GPU hours count a pod from its start.

examples:
  python -m benchmarks.scaling                                     an assumed GPU replica
  python -m benchmarks.scaling --costs measured.json --peak 0.4 --target-s 5 --png day.png
  python -m benchmarks.scaling --arrivals day.jsonl --static 3 4   lines {"at_s": 9.5, "tokens": 9}

The last line of stdout is one JSON document. Exit codes: 0 told, 2 refused.
"""

ASSUMED = {"start_s": 120.0, "first_token_s": 0.15, "one_s": 0.012, "full_s": 0.03, "slots": 64}
"""Of a GPU replica with a 7B model. Nobody measured this: it shows what the command does.

The simulated autoscaler's target is 0.7 of these slots. That of k8s/components/hpa is 0.7 of vLLM's
256 on a card below 70 GiB: the share is the same, and a replica of your own has its own number.
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    command_parser = command_line.Parser(
        prog="python -m benchmarks.scaling",
        description="What autoscaling saves in a day, and what it costs in waiting.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    day = command_parser.add_argument_group("the day")
    day.add_argument("--arrivals", type=Path, metavar="FILE", help="JSON Lines, not a made-up day")
    day.add_argument("--peak", type=float, default=12.0, help="requests/s at 10:30 (default: 12)")
    day.add_argument(
        "--mean-tokens", type=int, default=500, metavar="N", help="of an answer (default: 500)"
    )
    day.add_argument("--seed", type=int, default=0, help="of the made-up day (default: 0)")
    one = command_parser.add_argument_group("one replica")
    one.add_argument("--costs", type=Path, metavar="FILE", help="JSON that `measure` printed")
    one.add_argument("--start-s", type=float, metavar="S", help="from a pod's start until ready")
    one.add_argument("--kv-tokens", type=int, metavar="N", help="that its KV cache holds")
    one.add_argument("--gpus", type=int, default=1, help="of a replica (default: 1)")
    plan = command_parser.add_argument_group("plans")
    plan.add_argument(
        "--static",
        type=int,
        nargs="*",
        default=[1, 2, 4, 8],
        metavar="N",
        help="fixed sizes to compare (default: 1 2 4 8)",
    )
    plan.add_argument("--least", type=int, default=plans.LEAST, help="minReplicas (default: 2)")
    plan.add_argument("--most", type=int, default=plans.MOST, help="maxReplicas (default: 8)")
    plan.add_argument(
        "--target-s", type=float, default=2.0, metavar="S", help="time to first token (default: 2)"
    )
    command_parser.add_argument("--png", type=Path, metavar="FILE", help="draw the day")
    command_parser.add_argument("--json", action="store_true", help="print the JSON alone")
    return command_parser


def costs_of(options: argparse.Namespace) -> Costs:
    """One replica's costs, from the file and the flags.

    Raises:
        ValueError: the file cannot be read, or a value is missing, unknown or out of range.
    """
    costs_fields: dict[str, Any] = dict(ASSUMED)
    if options.costs is not None:
        costs_fields = _measured(options.costs)
    for name in ("start_s", "kv_tokens"):
        if getattr(options, name) is not None:
            costs_fields[name] = getattr(options, name)
    try:
        costs = Costs(**costs_fields)
    except TypeError as error:
        raise ValueError(f"{options.costs}: it is not what `measure` prints ({error})") from None
    if min(costs.first_token_s, costs.one_s, costs.full_s, costs.slots, costs.kv_tokens) <= 0:
        raise ValueError(f"{costs}: times, slots and the KV cache of a replica must be above 0.")
    return costs


def _measured(path: Path) -> dict[str, Any]:
    try:
        measured = json.loads(json_lines.text_of(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {str(error)[:100]}.") from None
    if not isinstance(measured, dict):
        raise ValueError(f"{path}: it is not what `measure` prints (a JSON object)")  # noqa: TRY004
    return measured


def _check(options: argparse.Namespace) -> None:
    """Raises ValueError for what cannot be simulated."""
    for name in ("peak", "mean_tokens", "gpus", "target_s", "least", "most"):
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name.replace('_', '-')} is more than 0")
    if options.most < options.least:
        raise ValueError(f"--most is {options.most}, which is less than --least {options.least}")
    if any(size < 1 for size in options.static):
        raise ValueError("--static: a plan has at least 1 replica")


def main(argv: Sequence[str]) -> int:
    """Play the day against every plan; returns the exit code."""
    options = parser().parse_args(argv)
    console = output.console(stderr=True)
    try:
        _check(options)
        if options.png is not None:
            picture.check(options.png)
        costs = costs_of(options)
        day = (
            arrivals.office_day(
                peak=options.peak, mean_tokens=options.mean_tokens, seed=options.seed
            )
            if options.arrivals is None
            else arrivals.read(options.arrivals)
        )
        outcomes = []
        bounds = {"least": options.least, "most": options.most, "slots": costs.slots}
        for plan in plans.plans(options.static, **bounds):
            console.print(f"playing {len(day):,} requests against {plan.name}", style="dim")
            outcomes.append(Day(plan, costs).run(day))
    except (ValueError, OSError, ImportError) as error:
        command_line.complain(command_line.words_of(error))
        return REFUSED
    rows = [
        report.row(outcome, target_s=options.target_s, gpus=options.gpus) for outcome in outcomes
    ]
    if not options.json:
        output.console().print(report.table(rows, target_s=options.target_s))
    document = {"target_s": options.target_s, "num_requests": len(day), "plans": rows}
    print(json.dumps(document), flush=True)
    try:
        if options.png is not None:
            picture.draw(options.png, day, outcomes)
    except (OSError, ImportError) as error:
        command_line.complain(command_line.words_of(error))
        return REFUSED
    return 0
