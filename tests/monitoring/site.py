"""A site: servers with one key file, callers, and what is to be ended when the test is over."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from serve.governance.identity import keys
from tests.e2e.server import Server, free_port, serving
from tests.monitoring.callers import BODY, Callers

FAKE = ("--engine", "fake", "--model", "demo")


class Site:
    """Servers on ports that are known before they run.

    Attributes:
        ports: of all servers; Prometheus has them as its targets.
        is_tls: the servers speak HTTPS, all of them.
    """

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self._folder, self._ending = folder, ending
        self.key_file = folder / "keys.json"
        self.key = keys.create(self.key_file, name="tests")
        self.ports: list[int] = []
        self.is_tls = False
        self._num_started = 0

    def start(
        self,
        *arguments: str,
        port: int | None = None,
        is_ready: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> Server:
        """A server, which is ended with the test at the latest.

        Args:
            variables: of its environment, beside those of the tests'.
            port: of one that has ended; a free one unless given.
            is_ready: False not to wait until it is.
        """
        if port is None:
            port = free_port()
            self.ports.append(port)
        self._num_started += 1
        folder = self._folder / f"server-{self._num_started}"
        folder.mkdir()
        given = [*arguments, "--api-key-file", str(self.key_file)]
        return self._ending.enter_context(
            serving(folder, given, port=port, is_ready=is_ready, variables=variables)
        )

    def fake(
        self,
        *arguments: str,
        port: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Server:
        """One with the fake engine, of 200 tokens a second unless told otherwise."""
        pace = () if "--fake-tokens-per-s" in arguments else ("--fake-tokens-per-s", "200")
        return self.start(*FAKE, *pace, *arguments, port=port, variables=variables)

    def ask(
        self,
        server: Server,
        num_callers: int = 1,
        *,
        key: str | None = None,
        body: Mapping[str, Any] = BODY,
        route: str = "/v1/chat/completions",
    ) -> Callers:
        """Callers from now on, until they are stopped or the test is over."""
        callers = Callers(
            server.url, self.key if key is None else key, num_callers, body=body, route=route
        )
        return self._ending.enter_context(callers)

    def enter(self, ending: Any) -> Any:
        """A context of the test's own, which is left when the test is over."""
        return self._ending.enter_context(ending)

    def resumed_at_the_end(self, pid: int) -> None:
        """A process that is stopped in the test goes on then, so that it can end."""
        self._ending.callback(_signal, pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def kill(server: Server) -> None:
    """SIGKILL, as the kernel does it when no memory is left."""
    server.process.kill()
    server.process.wait(30)


@contextmanager
def starved(pid: int, *, stopped_s: float, running_s: float) -> Iterator[threading.Event]:
    """Stop and resume a process in turns, as a quota of CPU does, until the event is set."""
    is_over = threading.Event()

    def turns() -> None:
        while not is_over.is_set():
            _signal(pid, signal.SIGSTOP)
            is_over.wait(stopped_s)
            _signal(pid, signal.SIGCONT)
            is_over.wait(running_s)

    thread = threading.Thread(target=turns)
    thread.start()
    try:
        yield is_over
    finally:
        is_over.set()
        thread.join(30)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """An empty site; whatever it starts is ended with it."""
    with ExitStack() as ending:
        yield Site(folder, ending)
