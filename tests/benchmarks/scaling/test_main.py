"""`python -m benchmarks.scaling` is the command, and its exit code is the process's."""

from __future__ import annotations

import json
import runpy
import sys

import pytest

from benchmarks.scaling import command


@pytest.mark.parametrize(
    ("words", "code"), [(["--static", "1", "--json", "--arrivals"], 0), (["--peak", "0"], 2)]
)
def test_the_module_ends_with_the_commands_code(words, code, monkeypatch, tmp_path, capsys) -> None:
    day = tmp_path / "day.jsonl"
    day.write_text('{"at_s": 9, "tokens": 3}\n')
    monkeypatch.delitem(
        sys.modules, "benchmarks.scaling.__main__", raising=False
    )  # of another test
    monkeypatch.setattr(sys, "argv", ["scaling", *words, *([] if code else [str(day)])])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("benchmarks.scaling", run_name="__main__")
    assert ended.value.code == code
    shown = capsys.readouterr()
    if code == command.REFUSED:
        assert shown.err.startswith("error: ")
    else:
        assert json.loads(shown.out)["num_requests"] == 1
