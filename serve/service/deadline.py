"""The end of a request's time: whatever it is doing then is cancelled, and it fails."""

from __future__ import annotations

from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.errors import DeadlineExceeded


@asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[None]:
    """Let the block run for so long, in this task; None is for ever.

    It is cancelled as ``asyncio.timeout`` does it: one timer for a request, and nothing for each of
    its tokens.

    Raises:
        DeadlineExceeded: it took longer. All that stands in the block has been left by then.
    """
    if seconds is None:
        yield
        return
    try:
        async with timeout(max(0.0, seconds)) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            "The answer was not complete at its deadline, and was stopped. Ask for a shorter one, "
            "or allow more time (x-request-timeout-ms, up to the server's --max-request-s)."
        ) from None
