"""A request's body as a JSON object; large ones are parsed one in a turn of the event loop."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from serve.api.http.strict_json import parse_object
from serve.pipeline.slices import next_turn

LARGE_BYTES: Final = 65_536
"""Bodies beyond this take a turn for themselves: a megabyte takes 20 to 35 ms to parse."""


class Bodies:
    """Parses bodies. One for all routes of a server."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def parsed(self, raw: bytes) -> dict[str, Any]:
        """The object that a body holds.

        Raises:
            InvalidJson: see strict_json.
        """
        if len(raw) > LARGE_BYTES:
            await next_turn(self._turn)
        return parse_object(raw)
