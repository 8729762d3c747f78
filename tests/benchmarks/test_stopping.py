"""Ctrl-C and SIGTERM end a run once, and tell which it was."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

import pytest

from benchmarks.stopping import StoppedError, stoppable


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_raised_with_its_code(number: signal.Signals, code: int) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(StoppedError) as stopped, stoppable():
        os.kill(os.getpid(), number)
    assert (stopped.value.code, stopped.value.name) == (code, number.name)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_signal_ends_the_process_at_once() -> None:
    def run() -> None:
        with stoppable(), ExitStack() as stack:
            stack.callback(left)
            os.kill(os.getpid(), signal.SIGTERM)

    def left() -> None:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL

    with pytest.raises(StoppedError):
        run()
