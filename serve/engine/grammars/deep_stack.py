"""A stack that is deep enough for any grammar within the bounds.

llguidance's compiler calls itself once for each level of a grammar, and a level may be a reference:
3,000 rules in a row, or 40 kB of a schema, overflow the 8 MB that a thread has by default. That is
no exception but the end of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from serve.engine.grammars import bounds

_Result = TypeVar("_Result")
_lock = threading.Lock()


def run(work: Callable[[], _Result]) -> _Result:
    """The work's result, from a thread of its own, whose stack is given back at its end.

    Takes some 0.1 ms. What of the stack is never used takes no memory.

    Raises:
        BaseException: whatever the work raises.
    """
    job: Future[_Result] = Future()

    def serve() -> None:
        try:
            job.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for the work
            job.set_exception(error)

    thread = threading.Thread(target=serve, name="grammar", daemon=True)
    with _lock:
        before = threading.stack_size(bounds.STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()
    return job.result()
