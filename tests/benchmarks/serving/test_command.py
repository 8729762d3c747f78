"""The command: what is measured is reported, however the run ends."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.serving import command
from benchmarks.serving.client import Endpoint
from benchmarks.serving.load import Level
from benchmarks.stopping import StoppedError
from benchmarks.trace import Trace
from tests.benchmarks.documents import printed_report
from tests.benchmarks.serving.simulated import SimulatedServer, book

LEVELS = [Level(count=60, rate=4.0), Level(count=60, rate=8.0)]


def options(out: Path, **facts: object) -> Namespace:
    given = {"out": out, "json": True, "sweep": False, "slo": [], "dataset": "synthetic"}
    given |= {"seed": 0, "rounds": 1, "requests": None, "max_levels": 20, "level_seconds": 120.0}
    return Namespace(**given | {"command_line": ["serving"]} | facts)


def run(server: SimulatedServer, given: Namespace) -> int:
    return command._measured(book(server), LEVELS, Endpoint.parse("http://host:1"), given)


class Broken(SimulatedServer):
    """Answers one level, and ends the next with an error."""

    error: BaseException

    def send(self, level: Level) -> tuple[list[Trace], object]:  # type: ignore[override]
        if self.levels:
            raise self.error
        return super().send(level)


def test_levels_are_reported_in_the_order_of_their_load(tmp_path: Path, capsys) -> None:
    assert run(SimulatedServer(), options(tmp_path, sweep=True)) == 0
    report = printed_report(capsys)
    rates = [row["facts"]["offered_requests_s"] for row in report["rows"]]
    assert rates == sorted(rates)
    assert report["settings"]["capacity_answers_s"] == pytest.approx(50, rel=0.1)
    assert json.loads((tmp_path / "serving.json").read_text())["rows"] == report["rows"]


def test_what_was_measured_until_a_signal_is_reported(tmp_path: Path, capsys) -> None:
    server = Broken()
    server.error = StoppedError(15)
    assert run(server, options(tmp_path)) == 143
    report = printed_report(capsys)
    assert [row["case"] for row in report["rows"]] == ["poisson 4/s"]
    assert "ended by SIGTERM: this is what was measured until then" in report["notes"]
    assert (tmp_path / "serving.png").is_file()


def test_what_was_measured_until_an_error_is_reported(tmp_path: Path, capsys) -> None:
    server = Broken()
    server.error = ValueError("--file f: no requests in it")
    with pytest.raises(ValueError, match="no requests"):
        run(server, options(tmp_path))
    report = printed_report(capsys)
    assert [row["case"] for row in report["rows"]] == ["poisson 4/s"]
    assert "ended by an error: --file f: no requests in it" in report["notes"]


def test_a_run_that_was_ended_before_a_level_has_nothing_to_report(tmp_path, capsys) -> None:
    server = Broken()
    server.error = StoppedError(2)
    server.levels.append(LEVELS[0])
    assert run(server, options(tmp_path)) == 130
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "ended before a level was measured" in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_level_is_on_disk_before_the_next_one_begins(tmp_path: Path, capsys) -> None:
    class Looking(SimulatedServer):
        def send(self, level: Level) -> tuple[list[Trace], object]:  # type: ignore[override]
            if self.levels:
                kept = json.loads((tmp_path / "serving.json").read_text())
                assert [row["case"] for row in kept["rows"]] == ["poisson 4/s"]
            return super().send(level)

    assert run(Looking(), options(tmp_path)) == 0
    assert len(printed_report(capsys)["rows"]) == 2
