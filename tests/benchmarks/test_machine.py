"""The facts of a machine, and how they are printed."""

from __future__ import annotations

import datetime as dt
import json
import shlex
from pathlib import Path

from benchmarks import machine

FACTS = {"gpu": None, "cores": 2, "processor": "Abacus", "threads": 1, "load_before": 0.5}


def test_a_title_names_the_gpu_where_there_is_one() -> None:
    assert machine.in_words(FACTS) == "2 cores of Abacus, 1 threads, load before 0.5"
    assert machine.in_words(FACTS | {"gpu": "H100"}) == "H100, 1 threads, load before 0.5"


def test_a_command_line_can_be_typed_again() -> None:
    words = ["engine", "a model", "--slo", "ttft=5"]
    line = machine.command_line(words)
    assert shlex.split(line) == ["python", "-m", "benchmarks", *words]


def test_times_are_utc_to_the_second() -> None:
    now = dt.datetime.fromisoformat(machine.now_utc())
    assert now.utcoffset() == dt.timedelta(0)
    assert now.microsecond == 0


def test_the_facts_go_into_json_and_a_machine_without_cpuinfo_has_some_too(monkeypatch) -> None:
    monkeypatch.setattr(machine, "Path", lambda _: Path("/nowhere/cpuinfo"))
    facts = machine.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["processor"]
    assert facts["instructions"] == []
    assert facts["cores"] >= 1
    assert "torch" in facts["libraries"]
