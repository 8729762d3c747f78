"""Standard streams that are closed, full or cut short: one line or none, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
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
