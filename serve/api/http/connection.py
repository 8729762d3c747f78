"""While the client is there: work that ends at once when it leaves."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from starlette.requests import ClientDisconnect
from starlette.types import Receive


class WhileConnected:
    """An async context whose body is cancelled when the client leaves.

    The body then ends with ClientDisconnect instead of CancelledError. It works as asyncio.timeout
    does: the body runs in the request's own task, so that waiting for the next event costs nothing
    more than waiting for it; one small task waits for the client to leave.

    Enter it only when the request's body has been read: from then on ``receive`` tells of nothing
    but the end of the connection.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_left = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("WhileConnected needs a task")
        self._task = task
        self._num_cancels = task.cancelling()
        self._watch = asyncio.create_task(self._wait_for_end())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watch.cancel()
        if not self._has_left:
            return
        # Not ours alone if somebody else has cancelled, too: then CancelledError goes on.
        if self._task.uncancel() <= self._num_cancels and kind is asyncio.CancelledError:
            raise ClientDisconnect from error

    async def _wait_for_end(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        self._task.cancel()
