"""The files of a report, and how a command is refused."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.report import output, plots
from benchmarks.report.document import Document
from benchmarks.report.output import write
from tests.benchmarks.documents import compared


def test_the_files_are_written(tmp_path: Path) -> None:
    written = list(write(compared(), tmp_path / "out"))
    assert [path.name for path in written] == ["compare.json", "compare.html", "compare.png"]
    assert Document.read(written[0]).ratios == compared().ratios


def deliver_to(capsys, *, as_json: bool, out: Path | None = None) -> tuple[str, str]:
    assert output.deliver(compared(), Namespace(json=as_json, out=out)) == 0
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_the_last_line_is_the_report_after_tables_and_notes(capsys) -> None:
    out, err = deliver_to(capsys, as_json=False)
    *before, last = out.splitlines()
    assert last == compared().to_json()
    assert any("them & co" in line for line in before)
    assert "note: llama.cpp: left out, <none>" in before
    assert err == ""


def test_with_json_nothing_else_is_on_stdout(capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(output, "write", lambda _, folder: [folder / "compare.json"])
    out, err = deliver_to(capsys, as_json=True, out=tmp_path)
    assert out == compared().to_json() + "\n"
    assert "note: " in err
    assert f"written: {tmp_path / 'compare.json'}" in err


@pytest.mark.parametrize("error", [ValueError("x: bad"), OSError("x: bad"), RuntimeError("x: bad")])
def test_what_a_user_can_put_right_is_a_message_and_exit_code_2(error, capsys) -> None:
    with pytest.raises(SystemExit) as ended, output.refusals():
        raise error
    assert ended.value.code == output.REFUSED == 2
    assert capsys.readouterr().err == "error: x: bad\n"


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(KeyError), output.refusals():
        raise KeyError("x")


def test_what_was_measured_is_printed_where_the_files_cannot_be_written(capsys) -> None:
    with pytest.raises(SystemExit) as ended, output.refusals():
        output.deliver(compared(), Namespace(json=True, out=Path("/dev/null")))
    assert ended.value.code == output.REFUSED
    shown = capsys.readouterr()
    assert shown.out == compared().to_json() + "\n"
    assert shown.err.splitlines()[-1] == "error: /dev/null: File exists"


def test_what_a_report_needs_is_checked_before(tmp_path: Path, monkeypatch) -> None:
    output.check(Namespace(out=None))
    output.check(Namespace(out=tmp_path / "new" / "folder"))
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    with pytest.raises(OSError, match="File exists"):
        output.check(Namespace(out=Path("/dev/null")))
    with pytest.raises(OSError, match=r"Permission|Read-only|No such"):
        output.check(Namespace(out=Path("/proc")))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RuntimeError, match="make setup"):
        output.check(Namespace(out=tmp_path))


def test_a_report_is_written_before_it_is_drawn(capsys, monkeypatch, tmp_path: Path) -> None:
    def broken(_: Document) -> None:
        assert (tmp_path / "compare.json").is_file()
        raise KeyError("a font")

    monkeypatch.setattr(plots, "draw", broken)
    with pytest.raises(SystemExit) as ended, output.refusals():
        output.deliver(compared(), Namespace(json=True, out=tmp_path))
    assert ended.value.code == output.REFUSED
    shown = capsys.readouterr()
    assert Document.read(tmp_path / "compare.json").rows == compared().rows
    assert shown.out == compared().to_json() + "\n"
    assert f"the report is in {tmp_path / 'compare.json'}, and its charts" in shown.err


def test_a_run_that_goes_on_keeps_what_it_has(tmp_path: Path) -> None:
    output.keep(compared(), Namespace(out=None))
    output.keep(compared(), Namespace(out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["compare.json"]


def test_an_earlier_report_gets_a_name_of_its_own(tmp_path: Path) -> None:
    options = Namespace(out=tmp_path)
    for _ in range(2):
        output.set_aside("compare", options)
        output.keep(compared(), options)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert re.fullmatch(r"compare-\d{8}T\d{6}\.\d{6}Z\.json", names[0])
    assert Document.read(tmp_path / names[0]).rows == compared().rows


def test_names_with_brackets_are_printed_as_they_are(capsys) -> None:
    document = replace(compared(), notes=["[/x] [red]y :warning:"])
    output.deliver(document, Namespace(json=False, out=None))
    assert "note: [/x] [red]y :warning:" in capsys.readouterr().out
