"""Standard streams that are closed, full or cut short: one line or none, and never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from models import command_line

ROOT = Path(__file__).parents[2]
PROGRAM = """\
import os, sys
from models import command_line

def main(argv):
    if argv == ["exit"]:
        sys.exit("said at the end")
    if argv == ["sockets"]:
        print(os.open("/dev/null", os.O_RDONLY) > 2, file=sys.stderr)
    print("x" * 100_000 if argv == ["long"] else "a line", flush=argv == ["flush"])
    return 7

sys.exit(command_line.run(main))
"""


def run(redirection: str, argument: str = "") -> tuple[int, str, str]:
    """The program in a shell; its exit code, and what came out."""
    ended = subprocess.run(
        ["/bin/bash", "-c", f'"$PYTHON" -c "$PROGRAM" {argument} {redirection}'],
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable, "PROGRAM": PROGRAM},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_the_exit_code_is_the_commands() -> None:
    assert run("") == (7, "a line\n", "")


def test_words_at_the_end_are_an_error() -> None:
    assert run("", "exit") == (1, "", "said at the end\n")


@pytest.mark.parametrize("argument", ["", "flush"])
def test_a_full_device_is_one_line(argument: str) -> None:
    code, _, errors = run(">/dev/full", argument)
    assert (code, errors) == (
        1,
        "error: the output cannot be written: No space left on device\n",
    )
    assert run(">/dev/full 2>&1", argument)[0] == 1


@pytest.mark.parametrize("argument", ["long", "flush"])
def test_a_reader_that_has_enough_ends_it_quietly(argument: str) -> None:
    code, _, errors = run("| true; exit ${PIPESTATUS[0]}", argument)
    assert (code, errors) == (command_line.BROKEN_PIPE, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", ">&- 2>/dev/full"])
def test_closed_streams_are_as_good_as_the_null_device(closed: str) -> None:
    code, out, errors = run(closed)
    assert code == 7
    assert out in ("", "a line\n")
    assert errors == ""


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    assert run(">&- <&-", "sockets")[2] == "True\n"


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """The exit code of a command that raises this, in this process."""

    def main(_: Sequence[str]) -> int:
        raise error

    monkeypatch.setattr(sys, "argv", ["x"])
    return command_line.run(main)


def test_a_file_that_the_system_refuses_is_one_line_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = NotADirectoryError(errno.ENOTDIR, "Not a directory", "a\x1b[31m/b\n")
    assert ended(monkeypatch, error) == command_line.REFUSED
    assert capsys.readouterr().err == "error: a\\x1b[31m/b\\n: Not a directory\n"
    both = OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b")
    assert ended(monkeypatch, both) == command_line.REFUSED
    assert capsys.readouterr().err == "error: a: b: Invalid cross-device link\n"


def test_a_process_without_a_descriptor_left_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(errno.EMFILE, "Too many open files", "/a/b")
    assert ended(monkeypatch, error) == command_line.REFUSED
    assert capsys.readouterr().err == (
        "error: Too many open files: raise the limit of this process (ulimit -n)\n"
    )


def test_what_is_about_no_file_is_a_defect_and_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionRefusedError):
        ended(monkeypatch, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))


def test_a_stderr_that_takes_nothing_does_not_change_the_exit_code() -> None:
    program = "from models import command_line as c; c.run(lambda _: c.complain('x')); exit(5)"
    command = f'"{sys.executable}" -c "{program}" 2>/dev/full'
    assert subprocess.run(["/bin/bash", "-c", command], cwd=ROOT, check=False).returncode == 5


def test_paths_of_the_command_line_stay_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = command_line.Parser(prog="x")
    parser.add_argument("--file", type=Path)
    assert parser.parse_args(["--file", "a b\udcff"]).file == Path("a b\udcff")
    with pytest.raises(SystemExit):
        parser.parse_args(["--file", ""])
    assert "the path is empty: name one, or leave the option out" in capsys.readouterr().err
    for text in ("a\nb", "\x1b[31m", "a\u2028"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--file", text])
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"x: error: argument --file: the path {text!r} has a control")
    with pytest.raises(SystemExit):
        parser.parse_args(["--oth\x1ber"])
    assert "--oth\\x1ber" in capsys.readouterr().err
