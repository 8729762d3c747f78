"""The bars of a start, and that a log line never stands in their row."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from serve.cli.loading_bars import AboveBars, LoadingBars
from serve.observe import logs
from tests.terminal import Terminal, rows_of


def test_bars_are_for_terminals_only() -> None:
    file = io.StringIO()
    with LoadingBars(Console(file=file)) as bars:
        bars("load_weights", 1, 2)
    assert file.getvalue() == ""


def test_a_bar_for_each_phase_with_bytes_where_they_are_bytes() -> None:
    file = io.StringIO()
    with LoadingBars(Console(file=file, force_terminal=True, width=100)) as bars:
        bars("load_weights", 3_000_000, 9_000_000)
        bars("warm_up", 0, 0)
        bars("verify", 5_000_000, 5_000_000)
        tasks = {task.description: task for task in bars._progress.tasks}
    assert list(tasks) == ["load weights", "warm up", "verify"]
    assert tasks["load weights"].fields["amount"] == "3 of 9 MB"
    assert tasks["warm up"].fields["amount"] == ""
    assert tasks["warm up"].total is None, "a phase without a total has no end in sight"
    assert tasks["load weights"].stop_time is not None, "the next phase ends it"
    assert tasks["verify"].stop_time is not None, "beside the others, it ends by itself"


@pytest.fixture
def own_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.usefixtures("own_logging")
def test_a_line_goes_above_the_bars_and_is_whole(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    bars = LoadingBars(Console(file=terminal, force_terminal=True, width=60))
    logs.configure("info", AboveBars(bars), form)  # type: ignore[arg-type]
    reason = "long, " * 20 + "and whole"
    with bars:
        bars("load_weights", 3_000_000, 9_000_000)
        bars._progress.refresh()
        logging.getLogger("serve.x").info("while they move", extra={"reason": reason})
        bars("load_weights", 9_000_000, 9_000_000)
        bars.close()
        logging.getLogger("serve.x").info("after them")
    rows = [row for row in rows_of(terminal.getvalue()) if row]
    assert len(rows) == 2, rows
    assert "while they move" in rows[0]
    assert reason in rows[0]
    assert re.match(r"\{|[0-9:]{8}  info", rows[0]), "glued to a bar"
    assert "after them" in rows[1]
    if form == "json":
        assert [json.loads(row)["msg"] for row in rows] == ["while they move", "after them"]


@pytest.mark.usefixtures("own_logging")
def test_without_a_terminal_lines_go_to_standard_error_as_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bars = LoadingBars(Console(file=io.StringIO()))
    with bars:
        logs.configure("info", AboveBars(bars), "auto")
        logging.getLogger("serve.x").info("hello")
    assert json.loads(capsys.readouterr().err)["msg"] == "hello"
