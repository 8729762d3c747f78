"""A proxy between a client and a real server, which cuts, slows or holds what passes.

::

    with FaultProxy(server.socket) as proxy:
        proxy.slow(2.0)      each piece of an answer comes so much later
        proxy.hold()         half-open: connections stay, and nothing passes any more
        proxy.cut()          connections are reset, and new ones refused
        proxy.pass_on()      as if nothing had been; connections that were held stay dead
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_S = 0.05
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER by which closing a socket sends RST."""


class FaultProxy:
    """A proxy on a free port of 127.0.0.1.

    Args:
        upstream: the server's unix socket, or its host and port.

    Attributes:
        port: of the proxy; the same for its whole life.
        num_accepted: connections that were let through or held.
    """

    def __init__(self, upstream: Path | tuple[str, int]) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._era = 0
        self._delay_s = 0.0
        self._is_held = self._is_cut = self._is_ended = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(POLL_S)
        self.port: int = self._listener.getsockname()[1]
        self.num_accepted = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_ended = True
        self.cut()
        self._threads[0].join(5)
        self._listener.close()

    def pass_on(self) -> None:
        """Let new connections through."""
        self._set(delay_s=0.0)

    def slow(self, seconds: float) -> None:
        """Let each piece of an answer wait."""
        self._set(delay_s=seconds)

    def hold(self) -> None:
        """Keep all connections, take what the client sends, and pass nothing on."""
        self._set(is_held=True)

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._set(is_cut=True)
        self.reset()

    def reset(self) -> None:
        """Reset the connections that there are, and let new ones through."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _reset(end)

    def _set(self, *, delay_s: float = 0.0, is_held: bool = False, is_cut: bool = False) -> None:
        if is_held:
            self._era += 1  # connections of an earlier one pass nothing any more
        self._delay_s, self._is_held, self._is_cut = delay_s, is_held, is_cut

    def _accept(self) -> None:
        while not self._is_ended:
            try:
                client = self._listener.accept()[0]
            except TimeoutError:
                continue
            if self._is_cut:
                _reset(client)
                continue
            self.num_accepted += 1
            server = self._connect()
            era = self._era
            with self._lock:
                self._pairs.append((client, server))
            for source, target, is_answer in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._carry, args=(source, target, is_answer, era), daemon=True
                ).start()

    def _connect(self) -> socket.socket:
        if isinstance(self._upstream, tuple):
            return socket.create_connection(self._upstream)
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._upstream))
        return server

    def _carry(
        self, source: socket.socket, target: socket.socket, is_answer: bool, era: int
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self._delay_s:
                    time.sleep(self._delay_s)
                if not self._is_held and era == self._era:
                    target.sendall(data)
        if not self._is_held and era == self._era:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        if end.family == socket.AF_INET:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RD)  # wakes whoever reads it
    end.close()
