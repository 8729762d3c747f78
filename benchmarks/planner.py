"""`python -m benchmarks plan SWEEP.json`: how many replicas for so many users, and what k8s/ needs.

From a serving sweep of one replica, by two laws of queues that hold whatever the distributions are
(Little 1961; Denning and Buzen 1978, the interactive response time formula):

    demand      X = N / (Z + R)     N users who think Z seconds and wait R for each answer
    capacity    the level with the most answers per second that was kept up with, and at which at
                least --share of all requests met the targets; what a user asks for in other numbers
                of tokens than the sweep's counts by its output tokens
    replicas    ceil(X / (capacity * headroom)), and --spare more

Not a simulation: it says nothing about bursts shorter than the autoscaler's minute. Its headroom is
for these.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.report.document import Document, Row
from benchmarks.report.output import refusals
from benchmarks.serving.walk import ATTAINMENT, borne_s, keeps_up
from models.cli import output
from models.cli.options import Commands, command

SCHEMA = "intramural.capacity-plan/1"
_EPILOG = """
    examples:
      python -m benchmarks serving --rate 0.5 --sweep --slo ttft=1000 tpot=60 > sweep.txt
      python -m benchmarks plan sweep.txt --users 400 --think-time 45 --tokens 250

    The sweep must be of one replica, with prompts and targets like those that are planned for.
    The last line of stdout is JSON; the lines before it can go into k8s/.

    exit codes: 0 planned, 1 no level of the sweep meets the targets, 2 refused
"""
UNMET = 1
_ADMITTED = "intramural_requests_admitted"
_WAITING = "intramural_requests_waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """The users who are planned for.

    Attributes:
        count: of users at the busiest time.
        think_s: between an answer and the next question.
        tokens: of an answer; None is as in the sweep.
    """

    count: int
    think_s: float
    tokens: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Replicas, settings and autoscaler targets.

    Attributes:
        level: of the sweep that one replica can bear.
        requests_s: whole answers of the users' length per second and replica.
        answer_s: how long such an answer takes at that level.
        demand_s: requests per second of all users.
        admitted_per_replica: requests in flight in each replica, at ``headroom``: the autoscaler's
            target.
        waiting_per_replica: of these, more than which waiting means that there are too few.
        max_num_seqs: of the server: what is in flight at that level, 95 % of the time.
        max_num_queued_reqs: of the server.
    """

    level: str
    requests_s: float
    answer_s: float
    demand_s: float
    replicas: int
    max_replicas: int
    admitted_per_replica: int
    waiting_per_replica: int
    max_num_seqs: int
    max_num_queued_reqs: int

    def manifest(self) -> str:
        """The lines for k8s/: settings, replicas and the autoscaler's metrics."""
        return "\n".join(
            (
                "# k8s/base/server/settings.env",
                f"INTRAMURAL_MAX_NUM_SEQS={self.max_num_seqs}",
                f"INTRAMURAL_MAX_NUM_QUEUED_REQS={self.max_num_queued_reqs}",
                "# k8s/components/hpa/hpa.yaml",
                f"minReplicas: {self.replicas}",
                f"maxReplicas: {self.max_replicas}",
                "metrics:",
                *self._metric(_ADMITTED, self.admitted_per_replica),
                *self._metric(_WAITING, self.waiting_per_replica),
            )
        )

    def _metric(self, name: str, average: int) -> tuple[str, ...]:
        return (
            "- type: Pods",
            "  pods:",
            f"    metric: {{name: {name}}}",
            f'    target: {{type: AverageValue, averageValue: "{average}"}}',
        )


def plan(
    rows: Sequence[Row], users: Users, *, share: float, headroom: float, spare: int
) -> Plan | None:
    """The plan; None where no level of the sweep meets its targets.

    Args:
        rows: levels of a sweep.
        users: that are planned for.
        share: of all requests that must meet the targets, in (0, 1].
        headroom: share of a replica's capacity that is used, in (0, 1].
        spare: replicas that may fail or be updated at the busiest time.
    """
    usable = [row for row in rows if keeps_up(row) and (row.median("attainment") or 0.0) >= share]
    best = max(usable, key=borne_s, default=None)
    if best is None:
        return None
    requests_s, answer_s = borne_s(best), best.median("e2e_ms_mean")
    measured = best.median("completion_tokens")
    if not requests_s or not answer_s or not measured:
        return None
    flying = max(1.0, requests_s * answer_s / 1e3)  # in flight on average (Little)
    scale = (users.tokens or measured) / measured
    requests_s, answer_s = requests_s / scale, answer_s / 1e3 * scale
    in_flight = max(1, math.floor(flying * headroom))
    demand_s = users.count / (users.think_s + answer_s)
    needed = max(1, math.ceil(demand_s / (requests_s * headroom) - 1e-9))
    # Of Poisson arrivals the number in flight is Poisson's, too (M/G/inf): two deviations more.
    seqs = math.ceil(flying + 2 * math.sqrt(flying))
    return Plan(
        level=best.case,
        requests_s=requests_s,
        answer_s=answer_s,
        demand_s=demand_s,
        replicas=needed + spare,
        max_replicas=2 * needed + spare,
        admitted_per_replica=in_flight,
        waiting_per_replica=max(1, in_flight // 8),
        max_num_seqs=seqs,
        # Half an answer's time of arrivals: who would wait longer is sent to another replica.
        max_num_queued_reqs=max(1, math.ceil(requests_s * answer_s / 2)),
    )


def add_command(commands: Commands) -> None:
    """Add `plan`."""
    parser = command(
        commands,
        "plan",
        text="how many replicas so many users need, and the values for k8s/",
        run=_run,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("sweep", type=Path, metavar="SWEEP.json", help="a report of `serving` with --slo")
    add("--users", type=int, required=True, metavar="N", help="at the busiest time")
    add("--think-time", type=float, default=30, metavar="SECONDS", help="between questions (30)")
    add("--tokens", type=float, help="of an answer (default: as in the sweep)")
    add("--share", type=float, default=ATTAINMENT, help="of requests that meet the targets (0.95)")
    add("--headroom", type=float, default=0.8, help="share of the capacity that is used (0.8)")
    add("--spare", type=int, default=1, help="replicas that may be missing (1)")


def _run(options: argparse.Namespace) -> int:
    with refusals():
        _check(options)
        document = Document.read(options.sweep)
        if document.kind != "serving" or not document.settings.get("targets_ms"):
            raise ValueError(
                f"{options.sweep}: a report of `serving` with targets (--slo) is needed, not of "
                f"{document.kind}"
            )
        users = Users(count=options.users, think_s=options.think_time, tokens=options.tokens)
        capacity = plan(
            document.rows,
            users,
            share=options.share,
            headroom=options.headroom,
            spare=options.spare,
        )
    console = output.console(stderr=options.json)
    if capacity is None:
        console.print(
            f"no level of {options.sweep} was kept up with and has {options.share:.0%} of its "
            f"requests within the targets {document.settings['targets_ms']}: begin the sweep "
            "lower, or ask for less",
            style="bold red",
        )
        return UNMET
    console.print(
        f"{capacity.replicas} replicas ({options.spare} of them spare) for {options.users} users: "
        f"they ask for {capacity.demand_s:.2f} answers/s, and one replica gives "
        f"{capacity.requests_s:.2f} within the targets ({capacity.level}), "
        f"{capacity.answer_s:.1f} s each"
    )
    console.print(capacity.manifest(), markup=False)
    print(json.dumps({"schema": SCHEMA} | asdict(capacity)))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises ValueError: a number is out of its range."""
    if options.users < 1:
        raise ValueError(f"--users is {options.users} and must be at least 1.")
    if options.tokens is not None and options.tokens < 1:
        raise ValueError(f"--tokens is {options.tokens:g} and must be at least 1.")
    for name in ("think_time", "spare"):
        if (value := getattr(options, name)) < 0:
            raise ValueError(f"--{name.replace('_', '-')} is {value:g} and must be at least 0.")
    for name in ("share", "headroom"):
        if not 0 < (value := getattr(options, name)) <= 1:
            raise ValueError(f"--{name} is {value:g} and must be above 0 and at most 1.")
