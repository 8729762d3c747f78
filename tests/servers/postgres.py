"""A PostgreSQL server of Debian's package, in a folder of its own, reached by a unix socket."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests import programs
from tests.servers import processes

USER = "postgres"
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
PORT = 5432
"""Part of the socket's name; nothing listens there."""


class Postgres:
    """A server that runs.

    Attributes:
        folder: with its data, its log and its socket.
    """

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        self.folder = folder
        self._settings = () if is_durable else NOT_DURABLE
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / f".s.PGSQL.{PORT}"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={PORT}"

    def make_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"d{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def initialise(self) -> None:
        command = ["initdb", "-D", "data", "-A", "trust", "-U", USER, "-E", "UTF8"]
        subprocess.run(
            _as_user([*command, "--no-locale", "--no-sync", "--no-instructions"]),
            cwd=self.folder, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> None:
        settings = (
            *self._settings,
            "listen_addresses=",
            f"unix_socket_directories={self.folder}",
            f"port={PORT}",
            "max_connections=200",
            "shared_buffers=32MB",
            "autovacuum=off",
        )
        flags = [part for setting in settings for part in ("-c", setting)]
        self._process = processes.start(_as_user(["postgres", "-D", "data", *flags]), self.folder)
        processes.wait_until(self._is_up, self._process, self.folder)

    def kill(self) -> None:
        """End it and all its processes at once, as SIGKILL or a lack of memory does."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for name in ("data/postmaster.pid", self.socket.name, f"{self.socket.name}.lock"):
                (self.folder / name).unlink(missing_ok=True)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts connections and shuts down, SIGQUIT is as a crash."""
        if self._process is not None:
            processes.stop(self._process, how)
            self._process = None

    def _is_up(self) -> bool:
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[Postgres]:
    """A server that runs until the end of the block.

    Args:
        is_durable: whether what was committed survives a crash of the machine: slower.
    """
    with processes.short_folder(USER) as folder:
        server = Postgres(folder, is_durable=is_durable)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _as_user(command: list[str]) -> list[str]:
    """The command as PostgreSQL's own user: it refuses to run as root."""
    program = programs.find(command[0]) or command[0]
    if os.geteuid() != 0:
        return [program, *command[1:]]
    return [
        "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--", program,
        *command[1:],
    ]  # fmt: skip
