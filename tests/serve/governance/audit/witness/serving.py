"""A witness on loopback for tests, and a client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from serve.governance.alerts.pinned_http import PinnedHttp, Target
from serve.governance.alerts.pinning import PinnedHost, network_of
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.witness.application import WitnessApplication
from serve.governance.audit.witness.client import WitnessClient
from serve.governance.audit.witness.cosigning import Witness
from serve.governance.audit.witness.state import WitnessState
from tests.serve.governance.audit.witness.trees import LOG_KEY, WITNESS_KEY


def client_of(port: int) -> WitnessClient:
    target = Target(scheme="http", host="127.0.0.1", port=port, path="/")
    pinned = PinnedHost(host="127.0.0.1", port=port, network=network_of("127.0.0.1"))
    return WitnessClient(WITNESS_KEY.verifier, PinnedHttp(target, pinned, None, 5.0))


@asynccontextmanager
async def witness_at(state: Path, log_key: NoteVerifier = LOG_KEY.verifier) -> AsyncIterator[int]:
    """A witness on loopback, its application behind a few lines of HTTP."""
    with WitnessState(state) as kept:
        application = WitnessApplication(Witness(WITNESS_KEY, [log_key], kept))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            body = await reader.readexactly(length)
            assert head.startswith("post /add-checkpoint http/1.1\r\n")
            reply = application.add_checkpoint(body)
            writer.write(b"HTTP/1.1 %d x\r\n" % reply.status)
            writer.write(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(reply.body))
            writer.write(reply.body)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
