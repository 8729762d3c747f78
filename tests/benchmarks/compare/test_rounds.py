"""Systems are measured in turn, those that fail are left out, and ratios are paired."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.cases import Case, decodes, prefills
from benchmarks.compare import rounds
from benchmarks.compare.rounds import Rules, Runner
from benchmarks.compare.systems import Bench, System, Up
from benchmarks.report.steps import Steps
from benchmarks.trace import Trace
from models.refs import QuantScheme
from models.store import demo
from tests.benchmarks.documents import LIMITS
from tests.benchmarks.traces import trace

CASES = [*prefills([1], [16]), *decodes([2], [8], 10)]
NONE, INT8 = QuantScheme.NONE, QuantScheme.INT8


class Paced:
    """A system of a known speed, on a clock of its own; notes its turns in ``turns``.

    Mocks a real system; test_command.py measures some.
    """

    def __init__(self, name: str, step_s: float, turns: list[str], drift: list[float]) -> None:
        self.name, self.step_s, self.turns, self.drift = name, step_s, turns, drift
        self.is_closed = False

    async def ask_all(
        self, name: str, prompts: Sequence[Sequence[int]], max_tokens: int
    ) -> list[Trace]:
        self.turns.append(f"{self.name}: {name}")
        if self.name == "broken" and max_tokens > 1:
            raise RuntimeError("out of memory")
        if name.startswith("probe") and self.name == "slow":
            await asyncio.sleep(0.02)
        number = -1 if name.endswith("warm") else int(name.rpartition(" ")[2])
        step_s = self.step_s * self.drift[number]
        arrivals = [step_s * (1 + step) for step in range(max_tokens)]
        return [trace(0.0, *arrivals, prompt_tokens=len(prompt)) for prompt in prompts]

    async def close(self) -> None:
        self.is_closed = True


async def nothing(bench: Bench, scheme: QuantScheme) -> Up:
    raise AssertionError("not started here")


def runner(name: str, step_s: float, turns: list[str], scheme: QuantScheme = NONE) -> Runner:
    system = System(name=name, scheme=scheme, via="library", start=nothing)
    return Runner(system, Up(running=Paced(name, step_s, turns, [1.0, 5.0, 2.0])))


def bench() -> Bench:
    return Bench(full=demo(), cache_dir=demo().path, dtype="auto", cases=CASES, llama_python=None)


def rules(repeats: int = 3, budget_s: float = 60.0) -> Rules:
    return Rules(
        limits=LIMITS,
        repeats=repeats,
        budget_s=budget_s,
        vocab_size=4096,
        steps=Steps(99),
        settle_s=0.0,
    )


async def test_turns_go_round_and_ratios_see_through_a_drifting_machine() -> None:
    turns: list[str] = []
    ours, theirs = "intramural transformers", "theirs"
    runners = [runner(ours, 0.1, turns), runner(theirs, 0.25, turns)]
    rows, ratios, notes = await rounds.measure(bench(), runners, rules())
    assert notes == []
    first = [turn.partition(":")[0] for turn in turns[8:]]  # after probes and warm-up
    assert first == [ours, theirs] * 2 + [theirs, ours] * 2 + [ours, theirs] * 2
    assert [(row.case, row.system) for row in rows] == [
        (case.label, name) for case in CASES for name in (ours, theirs)
    ]
    speeds = rows[2].samples["decode_tokens_s"]
    assert speeds == pytest.approx([20.0, 4.0, 10.0])  # two sequences, a step of 0.1 s, drifting
    for ratio in ratios:
        assert (ratio.system, ratio.against) == (ours, theirs)
        assert (ratio.low, ratio.ratio, ratio.high) == pytest.approx((2.5, 2.5, 2.5))


async def test_a_system_that_fails_is_left_out_and_the_others_go_on() -> None:
    turns: list[str] = []
    runners = [runner("intramural vllm", 0.1, turns), runner("broken", 0.1, turns)]
    rows, _, notes = await rounds.measure(bench(), runners, rules())
    assert notes == [f"demo, broken, {CASES[1].label}: left out, out of memory"]
    assert [row.system for row in rows if row.case == CASES[1].label] == ["intramural vllm"]
    assert len([row for row in rows if row.case == CASES[0].label]) == 2


async def test_rounds_that_do_not_fit_the_budget_are_not_begun() -> None:
    turns: list[str] = []
    rows, ratios, notes = await rounds.measure(
        bench(), [runner("theirs", 0.1, turns)], rules(budget_s=0.0)
    )
    assert [len(row.samples["mfu" if "prefill" in row.case else "mbu"]) for row in rows] == [1, 1]
    assert ratios == []
    assert notes == ["demo: 1 of 3 rounds fit into 0 s"]


async def test_a_system_that_is_far_too_slow_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds, "WARM_UP_S", 0.15)
    monkeypatch.setattr(
        rounds, "PROBE", Case(phase="prefill", batch=1, prompt_tokens=1, max_tokens=1)
    )
    monkeypatch.setattr(rounds, "SLOW_S", 0.0)
    turns: list[str] = []
    rows, _, notes = await rounds.measure(bench(), [runner("slow", 0.1, turns)], rules())
    assert rows == []
    assert all("it would take about" in note for note in notes)
    assert len(notes) == 2
    assert not [turn for turn in turns if "warm" in turn]


async def test_only_the_same_scheme_is_compared() -> None:
    turns: list[str] = []
    ours = "intramural transformers"
    pairs = [(ours, NONE), (ours, INT8), ("llama.cpp", NONE), ("llama.cpp", INT8)]
    runners = [runner(name, 0.1, turns, scheme) for name, scheme in pairs]
    _, ratios, _ = await rounds.measure(bench(), runners, rules(repeats=1))
    assert {(ratio.system, ratio.against) for ratio in ratios} == {
        (ours, "llama.cpp"),
        (f"{ours} int8", "llama.cpp int8"),
    }
