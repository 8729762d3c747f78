"""The deep stack: results and errors of the work come back, and other threads' stacks stay."""

from __future__ import annotations

import threading

import pytest

from serve.engine.grammars import deep_stack


def test_the_result_comes_back() -> None:
    assert deep_stack.run(lambda: threading.current_thread().name) == "grammar"


def test_errors_come_back() -> None:
    with pytest.raises(ZeroDivisionError):
        deep_stack.run(lambda: 1 // 0)


def test_other_threads_keep_their_stack() -> None:
    before = threading.stack_size()
    deep_stack.run(lambda: None)
    assert threading.stack_size() == before
