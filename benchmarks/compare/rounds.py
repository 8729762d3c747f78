"""All systems of one model, in turn: A B C, B C A, C A B, ...

Whatever else the machine does hits all of them alike, and the first place, which may be warmer or
colder, goes round. A system that fails is left out from there on, with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import cases, intervals
from benchmarks.cases import Case
from benchmarks.compare.systems import Bench, System, Up
from benchmarks.report.document import Ratio, Row
from benchmarks.report.figures import KINDS
from benchmarks.report.steps import Steps
from benchmarks.roofline import Roofline

WARM_UP_S = 30.0
"""A case that takes longer is not measured on that system: it would take the others' time."""
PROBE = Case(phase="prefill", batch=1, prompt_tokens=16, max_tokens=1)
SLOW_S = 1.0
SETTLE_S = 0.25
"""Before each turn: threads of the system before still spin for up to 0.2 s after their work."""
HEADLINES = ("prefill_tokens_s", "decode_tokens_s")
"""What ratios are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules of a run.

    Attributes:
        limits: of the machine.
        repeats: rounds that count.
        budget_s: no round begins that would end after so long.
        vocab_size: of the model.
        steps: is told of each case of each round.
        settle_s: of silence before each turn.
    """

    limits: Roofline
    repeats: int
    budget_s: float
    vocab_size: int
    steps: Steps
    settle_s: float = SETTLE_S


@dataclass(slots=True)
class Runner:
    """A system that is up, with its samples so far."""

    system: System
    up: Up
    samples: dict[Case, dict[str, list[float]]] = field(default_factory=dict)


async def measure(
    bench: Bench, runners: list[Runner], rules: Rules
) -> tuple[list[Row], list[Ratio], list[str]]:
    """Warm up, then the rounds; rows, ratios and notes.

    Args:
        bench: the model.
        runners: that are up; those that cannot do anything are taken out of the list.
        rules: of the run.
    """
    began_at = time.monotonic()
    notes: list[str] = []
    for runner in list(runners):
        rules.steps.begin(f"{bench.full.name}: warm-up of {runner.system.label}")
        notes += await _warm_up(bench, runner, rules.vocab_size)
        if not runner.samples:
            runners.remove(runner)
    longest_s = 0.0
    for number in range(rules.repeats):
        round_at = time.monotonic()
        if number and round_at - began_at + longest_s > rules.budget_s:
            fitting = f"{number} of {rules.repeats} rounds fit into {rules.budget_s:.0f} s"
            notes.append(f"{bench.full.name}: {fitting}")
            rules.steps.fewer((rules.repeats - number) * len(bench.cases))
            break
        for case in bench.cases:
            rules.steps.begin(f"{bench.full.name}: round {number + 1}, {case.label}")
            first = number % max(1, len(runners))
            for runner in runners[first:] + runners[:first]:
                if case in runner.samples:
                    await _sample(bench, runner, case, number, rules)
        longest_s = max(longest_s, time.monotonic() - round_at)
    return _rows(bench, runners), _ratios(bench, runners), notes


async def _warm_up(bench: Bench, runner: Runner, vocab_size: int) -> list[str]:
    """Every case once; those that work and are quick enough are the ones to measure.

    A short request first tells how slow a system is: a step that has begun cannot be stopped, and
    one of a prompt of hundreds of tokens could hold everything up for minutes.
    """
    notes = []
    probe_s: float | None = None
    for case in bench.cases:
        label = f"{bench.full.name}, {runner.system.label}, {case.label}"
        try:
            async with asyncio.timeout(WARM_UP_S):
                if probe_s is None:
                    probe_s = await _probe(runner, vocab_size)
                if (expected_s := _expected_s(case, probe_s)) > WARM_UP_S:
                    notes.append(f"{label}: left out, it would take about {expected_s:.0f} s")
                    continue
                prompts = case.prompts(vocab_size, -1)
                await runner.up.running.ask_all(f"{case.label} warm", prompts, case.max_tokens)
        except TimeoutError:
            notes.append(f"{label}: left out, it takes more than {WARM_UP_S:.0f} s")
        except RuntimeError as error:
            notes.append(f"{label}: left out, {error}")
        else:
            runner.samples[case] = {}
    return notes


async def _probe(runner: Runner, vocab_size: int) -> float:
    """Seconds of a prompt of 16 tokens, once warm; a slow system is warm at once."""
    taken_s = 0.0
    for number in range(2):
        prompts = PROBE.prompts(vocab_size, number)
        began_at = time.monotonic()
        await runner.up.running.ask_all(f"probe {number}", prompts, PROBE.max_tokens)
        taken_s = time.monotonic() - began_at
        if taken_s > SLOW_S:
            break
    return taken_s


def _expected_s(case: Case, probe_s: float) -> float:
    """Seconds of a case on a system whose every token costs what the probe's did."""
    return probe_s * case.batch * case.prompt_tokens / PROBE.prompt_tokens


async def _sample(bench: Bench, runner: Runner, case: Case, number: int, rules: Rules) -> None:
    name = f"{case.label} {number}"
    prompts = case.prompts(rules.vocab_size, number)
    await asyncio.sleep(rules.settle_s)
    traces = await runner.up.running.ask_all(name, prompts, case.max_tokens)
    cost = runner.up.cost(bench, runner.system.scheme)
    for figure, value in cases.figures(case, traces, cost, rules.limits).items():
        runner.samples[case].setdefault(figure, []).append(value)


def _rows(bench: Bench, runners: Sequence[Runner]) -> list[Row]:
    return [
        Row(
            model=bench.full.name,
            system=runner.system.name,
            scheme=str(runner.system.scheme),
            via=runner.system.via,
            case=case.label,
            samples=runner.samples[case],
            facts=_facts(bench, runner, case),
        )
        for case in bench.cases
        for runner in runners
        if runner.samples.get(case)
    ]


def _facts(bench: Bench, runner: Runner, case: Case) -> Mapping[str, float]:
    cost = runner.up.cost(bench, runner.system.scheme)
    if cost is None:
        return {}
    return {
        "step_weight_bytes": float(cost.weight_bytes),
        "flops_per_byte": cases.intensity(case, cost),
    }


def _ratios(bench: Bench, runners: Sequence[Runner]) -> list[Ratio]:
    """Ours against each other system of the same scheme, by the headline of each case."""
    ratios = []
    for case in bench.cases:
        for ours in runners:
            for other in runners:
                if not _are_rivals(ours.system, other.system):
                    continue
                figure = next((f for f in HEADLINES if ours.samples.get(case, {}).get(f)), None)
                mine = ours.samples.get(case, {}).get(figure or "", [])
                theirs = other.samples.get(case, {}).get(figure or "", [])
                if figure is None or len(mine) != len(theirs):
                    continue
                pair = (mine, theirs) if KINDS[figure].better == "more" else (theirs, mine)
                ratio = intervals.paired_ratio(*pair)
                ratios.append(
                    Ratio(
                        model=bench.full.name,
                        case=case.label,
                        figure=figure,
                        system=ours.system.label,
                        against=other.system.label,
                        ratio=ratio.middle,
                        low=ratio.low,
                        high=ratio.high,
                    )
                )
    return ratios


def _are_rivals(one: System, other: System) -> bool:
    is_ours = one.name.startswith("intramural")
    return is_ours and one.scheme is other.scheme and not other.name.startswith("intramural")
