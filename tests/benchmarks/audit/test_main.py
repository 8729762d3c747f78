"""Figures of the ways: medians, ratios of the same round, and answers that have to be whole."""

from __future__ import annotations

import argparse
import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.audit import __main__ as program
from benchmarks.audit.__main__ import Measured
from benchmarks.overload.asking import Outcome


def measured(*speeds: float) -> list[Measured]:
    return [Measured(tokens_per_s=speed, cpu_us=1000 / speed) for speed in speeds]


def outcome(*, is_whole: bool = True) -> Outcome:
    return Outcome(sent_at=0.0, status=200, ttft_s=0.1, e2e_s=0.2, is_whole=is_whole)


def test_a_way_is_compared_with_nothing_in_the_same_round():
    rounds = {"nothing": measured(100, 50, 200, 100, 100), "full": measured(90, 45, 180, 50, 100)}
    figures = program._figures(rounds, "full")
    assert figures["speed_ratio"] == pytest.approx(0.9)
    assert figures["speed_ratio_low_quartile"] == pytest.approx(0.7)
    assert figures["speed_ratio_high_quartile"] == pytest.approx(0.95)
    assert figures["cpu_ratio"] == pytest.approx(1 / 0.9)
    assert figures["tokens_per_s"] == 90


def test_one_round_has_no_quartiles():
    figures = program._figures({"nothing": measured(100), "full": measured(80)}, "full")
    assert {figures[name] for name in figures if name.startswith("speed_ratio")} == {0.8}


def loaded(monkeypatch: pytest.MonkeyPatch, end: Outcome) -> Measured:
    async def ask(_question: Any) -> Outcome:
        return end

    cpu_s = iter([1.0, 1.5])
    now = iter([10.0, 12.0])
    monkeypatch.setattr(program, "ask", ask)
    monkeypatch.setattr(program, "_cpu_s", lambda _child: next(cpu_s))
    monkeypatch.setattr(program.time, "monotonic", lambda: next(now))
    options = argparse.Namespace(streams=4, max_tokens=10)
    child: Any = SimpleNamespace(log_end=lambda: "last words")
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(loop, "time", lambda: 0.0)
    try:
        work = program._load(options, child, "http://127.0.0.1:1", "key", answers=5)
        return loop.run_until_complete(work)
    finally:
        loop.close()


def test_a_load_is_counted_in_tokens(monkeypatch):
    found = loaded(monkeypatch, outcome())
    assert found.tokens_per_s == 4 * 5 * 10 / 2.0
    assert found.cpu_us == pytest.approx(0.5 / 200 * 1e6)


def test_an_answer_that_is_not_whole_is_no_measurement(monkeypatch):
    with pytest.raises(SystemExit, match=r"20 answers failed, such as .*\nlast words"):
        loaded(monkeypatch, outcome(is_whole=False))


def test_the_time_of_a_process_is_that_of_its_family():
    before = program._cpu_s(SimpleNamespace(process=SimpleNamespace(pid=os.getpid())))
    assert before > 0


def test_every_start_has_nothing_and_no_way_twice(monkeypatch):
    seen: list[list[str]] = []

    async def start(_options: Any, _folder: Any, ways: list[str], rounds: Any) -> None:
        seen.append(list(ways))
        for way in ways:
            rounds[way] += measured(100)

    monkeypatch.setattr(program, "_measure_start", start)
    options = argparse.Namespace(ways=["full", "nothing", "full"], starts=2, folder=None)
    report = asyncio.run(program._measure(options))
    assert seen == [["nothing", "full"]] * 2
    assert set(report["figures"]) == {"nothing", "full"}
    assert report["speed_ratio_of_starts"]["full"] == [1.0, 1.0]
