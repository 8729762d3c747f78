"""Work on a body: at once where the body is small, on a thread where it could hold up others.

A thread lets the event loop in every 5 ms (``sys.getswitchinterval``), except within one call of C
code, such as the JSON parser: strict_json.py bounds what one such call is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

INLINE_BYTES = 65_536
"""Reading a body of this size takes about 2 ms where it is all small values, else much less."""

T = TypeVar("T")

_thread = ThreadPoolExecutor(1, "bodies")
"""One for all bodies: two would compete with the loop for the interpreter lock, and each thread
keeps memory of its own.
"""


async def off_loop(num_bytes: int, work: Callable[[], T]) -> T:
    """The result of ``work``, which looks at so many bytes of a body.

    Raises:
        Exception: whatever the work raises.
    """
    if num_bytes <= INLINE_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_thread, work)
