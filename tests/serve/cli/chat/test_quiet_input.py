"""What is typed while an answer comes is not shown, and the terminal is as it was afterwards."""

from __future__ import annotations

import os
import pty
import sys
import termios

import pytest

from serve.cli.chat.quiet_input import quiet_input


def echoes(descriptor: int) -> bool:
    return bool(termios.tcgetattr(descriptor)[3] & termios.ECHO)


@pytest.fixture
def terminal(monkeypatch):
    """The descriptor of a terminal that is standard input."""
    outer, inner = pty.openpty()
    stream = os.fdopen(inner, "r")
    monkeypatch.setattr(sys, "stdin", stream)
    yield inner
    stream.close()
    os.close(outer)


def test_echo_is_off_within_also_where_it_ends_early(terminal):
    assert echoes(terminal)
    was_shown: list[bool] = []

    def interrupted() -> None:
        with quiet_input():
            was_shown.append(echoes(terminal))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert was_shown == [False]
    assert echoes(terminal)


def test_a_terminal_that_was_quiet_stays_so(terminal):
    modes = termios.tcgetattr(terminal)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
    with quiet_input():
        pass
    assert not echoes(terminal)


def test_a_pipe_is_left_alone(monkeypatch, tmp_path):
    (tmp_path / "in").write_text("x")
    with (tmp_path / "in").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        with quiet_input():
            assert stream.read() == "x"
