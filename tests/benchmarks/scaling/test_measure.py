"""What the simulation needs of one replica, measured."""

from __future__ import annotations

import json

import pytest

from benchmarks.scaling import command, measure
from benchmarks.scaling.replica import Costs

SMALL = ["--peak", "0.01", "--mean-tokens", "50", "--static", "1", "2"]


def test_a_real_server_is_measured_and_its_figures_are_taken(tmp_path, capsys):
    arguments = ["--slots", "2", "--tokens", "8", "--rounds", "1", "--", "--engine", "fake"]
    assert measure.main(arguments) == 0
    printed = capsys.readouterr().out
    costs = Costs(**json.loads(printed))
    assert costs.slots == 2
    assert costs.start_s > 0 < costs.one_s
    file = tmp_path / "costs.json"
    file.write_text(printed)
    assert command.main([*SMALL, "--costs", str(file), "--json"]) == 0


def test_a_server_that_cannot_start_is_no_measurement():
    with (
        pytest.raises(ChildProcessError, match="ended before it was ready"),
        measure.server(["--model", "no-such-model", "--offline"]),
    ):
        pass
