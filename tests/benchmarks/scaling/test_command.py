"""The command: what it prints, draws and refuses; and measuring, against a real server."""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.scaling import command

SMALL = ["--peak", "0.01", "--mean-tokens", "50", "--static", "1", "2"]


def test_a_table_a_picture_and_json(tmp_path, capsys):
    png = tmp_path / "day.png"
    assert command.main([*SMALL, "--png", str(png), "--gpus", "4"]) == 0
    out = capsys.readouterr().out
    told = json.loads(out.splitlines()[-1])
    assert [plan["plan"] for plan in told["plans"]] == [
        *("static 1", "static 2", "hpa, queue alone", "hpa", "keda", "keda, never warm")
    ]
    assert "static 2" in out.partition("{")[0]
    assert told["plans"][1]["gpu_hours"] == pytest.approx(2 * 24 * 4, rel=0.01)
    assert told["plans"][5]["gpu_hours"] < told["plans"][4]["gpu_hours"]
    assert png.read_bytes().startswith(b"\x89PNG")


def test_json_alone(capsys):
    assert command.main([*SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_requests"] > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peak", "0"], "--peak is more than 0"),
        (["--least", "3", "--most", "2"], "--most is 2"),
        (["--static", "0"], "at least 1 replica"),
        (["--arrivals", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_played_is_refused(arguments, message, capsys):
    assert command.main(arguments) == command.REFUSED
    assert message in capsys.readouterr().err


def test_costs_that_are_none_are_refused(tmp_path, capsys):
    file = tmp_path / "costs.json"
    file.write_text('{"start": 1}')
    assert command.main(["--costs", str(file)]) == command.REFUSED
    assert "not what `measure` prints" in capsys.readouterr().err
    file.write_text(json.dumps(command.ASSUMED | {"one_s": 0}))
    assert command.main(["--costs", str(file)]) == command.REFUSED


def test_a_picture_that_cannot_be_written_is_refused_before_the_day(capsys):
    assert command.main([*SMALL, "--png", "/dev/null/day.png", "--json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "/dev/null" in shown.err
    assert "playing" not in shown.err


def test_the_document_is_printed_where_the_picture_cannot_be_drawn(tmp_path, capsys):
    assert command.main([*SMALL, "--png", str(tmp_path), "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["num_requests"]
    assert shown.err.splitlines()[-1] == f"error: {tmp_path}: Is a directory"


def test_files_that_are_none_are_named(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    for flag in ("--costs", "--arrivals"):
        assert command.main([flag, str(tmp_path / "pipe")]) == 2
        assert "pipe cannot be read: is not a plain file but a pipe" in capsys.readouterr().err
