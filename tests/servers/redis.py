"""A Redis server of Debian's package, in a folder of its own, reached by a unix socket."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests import programs
from tests.servers import processes


class RedisServer:
    """A server that runs, and keeps nothing on disk.

    Attributes:
        folder: with its log and its socket.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        program = programs.find("redis-server") or "redis-server"
        settings = {"port": "0", "unixsocket": str(self.socket), "save": "", "appendonly": "no"}
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._process = processes.start([program, *flags], self.folder)
        processes.wait_until(self._is_up, self._process, self.folder)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and all that it holds with it."""
        if self._process is not None:
            processes.stop(self._process, how)
            self._process = None

    def empty(self) -> None:
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.flushall()

    def _is_up(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A server that runs until the end of the block."""
    with processes.short_folder() as folder:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
