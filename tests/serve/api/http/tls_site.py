"""A server over TLS on real sockets and uvloop, as it is run, and clients of it."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import uvloop

from tests.certificates import Authority, Issued
from tests.serve.api.house import House, running

P = ParamSpec("P")
PATIENCE_S = 20
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def on_uvloop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """The test in the event loop that the server is run in: its TLS is another than Python's."""

    @functools.wraps(test)
    def ran(*arguments: P.args, **named: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(*arguments, **named))

    return ran


@dataclass
class Site:
    """A folder with an authority and the files of a server's certificate."""

    folder: Path
    authority: Authority

    @property
    def files(self) -> dict[str, Path]:
        return {
            "ssl_certfile": self.folder / "tls.crt",
            "ssl_keyfile": self.folder / "tls.key",
        }

    def put(self, issued: Issued) -> None:
        for source, target in zip((issued.chain, issued.secret), self.files.values(), strict=True):
            staged = target.with_suffix(".new")
            staged.touch(mode=0o600)
            staged.write_bytes(source.read_bytes())
            staged.replace(target)


@asynccontextmanager
async def served(home: House, **options: Any) -> AsyncIterator[int]:
    async with running(home, **options) as (server, url):
        assert url.startswith("https://")
        yield server.port


async def exchange(port: int, client: ssl.SSLContext, *pieces: bytes) -> bytes:
    """Send pieces and read until the server closes the connection."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="127.0.0.1"
        )
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        except (ConnectionResetError, BrokenPipeError):
            return b""
        finally:
            writer.transport.abort()


async def plain(port: int, sent: bytes) -> bytes:
    """Bytes that are no TLS, and all that comes back."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()
