"""A PostgreSQL server of Debian's package, in a folder of its own, reached by a unix socket."""

from __future__ import annotations

import itertools
import os
import shutil
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
        self._settings: tuple[str, ...] = () if is_durable else NOT_DURABLE
        self._listening: tuple[str, ...] = ("listen_addresses=", f"port={PORT}")
        self._port = PORT
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / f".s.PGSQL.{self._port}"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self._port}"

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

    def allow_tls(self, certificate: Path, key: Path, *, port: int) -> None:
        """Listen on 127.0.0.1 for passwords over TLS, too, from the next start on."""
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        for path in (rules, certificate, key):
            path.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(path, USER)
        files = (f"ssl_cert_file={certificate}", f"ssl_key_file={key}")
        self._listening = ("listen_addresses=127.0.0.1", f"port={port}", "ssl=on", *files)
        self._port = port

    def start(self) -> None:
        settings = (
            *self._settings,
            *self._listening,
            f"unix_socket_directories={self.folder}",
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
            server.stop(signal.SIGQUIT)  # its data is removed


def _as_user(command: list[str]) -> list[str]:
    """The command as PostgreSQL's own user: it refuses to run as root."""
    program = programs.find(command[0]) or command[0]
    if os.geteuid() != 0:
        return [program, *command[1:]]
    return [
        "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--", program,
        *command[1:],
    ]  # fmt: skip
