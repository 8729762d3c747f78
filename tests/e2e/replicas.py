"""Three replicas behind nginx, in the configuration that the repository ships, and load on them.

The load is the official client with its own retries. It keeps a ledger of what became of every
request, so that a test can say that none was lost.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import openai

from tests import programs
from tests.e2e.server import REPOSITORY, Server, free_port, serving, wait_ready

CONFIGURATION = REPOSITORY / "k8s" / "nginx" / "intramural.conf"
ARMS = ("a", "b", "c")
SHIPPED_PORTS = (8001, 8002, 8003)
WAIT_S = 60
THINK_S = 0.2
"""Most that a caller waits before it asks again: replicas need some of the processor to start."""

WRAPPER = """\
user root;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log info;
worker_processes 2;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/intramural.conf;
}}
"""


def configuration(folder: Path, port: int, ports: Sequence[int]) -> str:
    """The shipped one, with these ports and a log that a test may write."""
    text = CONFIGURATION.read_text("utf-8")
    for shipped, own in zip((8000, *SHIPPED_PORTS), (port, *ports), strict=True):
        assert text.count(f"127.0.0.1:{shipped}") == 1
        text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{own}")
    return text.replace("/var/log/nginx/intramural.log", f"{folder}/access.log")


@dataclass
class Nginx:
    url: str
    folder: Path

    def tries(self) -> list[list[str]]:
        """Of each request that is over: the replicas' answers, in the order they were asked."""
        found = re.findall(r"answers=\[([^\]]*)\]", (self.folder / "access.log").read_text())
        return [[status.strip() for status in answers.split(",")] for answers in found]

    def errors(self) -> str:
        return (self.folder / "error.log").read_text()


@contextmanager
def proxy(
    folder: Path, ports: Sequence[int], *, text: str | None = None, port: int | None = None
) -> Iterator[Nginx]:
    """Nginx in front of these ports, with the shipped configuration unless a text is given."""
    program = programs.find("nginx")
    assert program is not None
    folder.mkdir()
    port = free_port() if port is None else port
    own = configuration(folder, port, ports) if text is None else text
    (folder / "intramural.conf").write_text(own)
    (folder / "nginx.conf").write_text(WRAPPER.format(folder=folder))
    command = [program, "-e", folder / "error.log", "-p", folder, "-c", folder / "nginx.conf"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{port}/livez")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        else:
            raise AssertionError((folder / "error.log").read_text())
        yield Nginx(f"http://127.0.0.1:{port}", folder)
    finally:
        process.terminate()
        process.wait(30)


class Replica:
    """One server, which can be ended and brought back on its port."""

    def __init__(self, arm: str, folder: Path, arguments: Sequence[str]) -> None:
        self.arm = arm
        self.port = free_port()
        self._folder = folder
        self._arguments = [*arguments, "--arm", arm, "--shutdown-timeout", str(WAIT_S)]
        self._num_starts = 0
        self._stack = ExitStack()
        self.server: Server

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        folder = self._folder / f"{self.arm}{self._num_starts}"
        folder.mkdir(parents=True)
        self._num_starts += 1
        self.server = self._stack.enter_context(
            serving(folder, self._arguments, is_ready=False, port=self.port)
        )

    def wait_ready(self) -> None:
        wait_ready(self.server)

    def drain(self) -> int:
        """SIGTERM. The exit code, once it has ended by itself."""
        self.server.process.send_signal(signal.SIGTERM)
        return self.server.process.wait(2 * WAIT_S)

    def kill(self) -> None:
        self.server.process.kill()
        self.server.process.wait(30)

    def back(self) -> None:
        self._stack.close()
        self.start()
        self.wait_ready()

    def close(self) -> None:
        self._stack.close()


@contextmanager
def replicas(folder: Path, arguments: Sequence[str]) -> Iterator[dict[str, Replica]]:
    """Three, ready, by their arms."""
    fleet = {arm: Replica(arm, folder, arguments) for arm in ARMS}
    try:
        for replica in fleet.values():
            replica.start()
        for replica in fleet.values():
            replica.wait_ready()
        yield fleet
    finally:
        for replica in fleet.values():
            replica.close()


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Attributes:
        arm: of the replica that answered; empty where none did.
        num_chunks: of a stream, that its client has.
        error: what the client raised, if it did.
    """

    is_stream: bool
    arm: str
    num_chunks: int
    error: str | None

    @property
    def is_lost(self) -> bool:
        """Neither answered, nor a stream that broke after it had started."""
        return self.error is not None and not (self.is_stream and self.num_chunks)


@dataclass
class Load:
    """Callers that ask, think and ask again, streamed or whole, until they are told to stop.

    Attributes:
        streaming: how many streams run now on each arm, a first chunk having come.
        attempts: HTTP requests by how often their client had asked before.
    """

    url: str
    num_callers: int = 8
    max_tokens: int = 160
    outcomes: list[Outcome] = field(default_factory=list)
    streaming: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._call, args=(seed,)) for seed in range(self.num_callers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(4 * WAIT_S)
        assert not any(thread.is_alive() for thread in self._threads)

    def wait_for_more(self, num_requests: int) -> None:
        """Until so many more requests are over."""
        goal = len(self.outcomes) + num_requests
        self._wait(lambda: len(self.outcomes) >= goal)

    def wait_for_streams(self, arm: str, at_least: int = 1) -> None:
        """Until so many streams run on that arm."""
        self._wait(lambda: self.streaming[arm] >= at_least)

    def counts(self) -> dict[str, int]:
        """For people: how many requests, and what became of them."""
        broken = sum(o.error is not None and not o.is_lost for o in self.outcomes)
        return {
            "requests": len(self.outcomes),
            "streams finished": sum(o.is_stream and o.error is None for o in self.outcomes),
            "whole answers": sum(not o.is_stream and o.error is None for o in self.outcomes),
            "started streams broken": broken,
            "lost": sum(o.is_lost for o in self.outcomes),
            "asked again by the client": sum(n for tried, n in self.attempts.items() if tried),
        }

    def _wait(self, condition: object) -> None:
        deadline = time.monotonic() + 2 * WAIT_S
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline, self.counts()
            assert any(thread.is_alive() for thread in self._threads)
            time.sleep(0.005)

    def _call(self, seed: int) -> None:
        choice = random.Random(seed)
        hooks = {"request": [self._count]}
        http = openai.DefaultHttpxClient(event_hooks=hooks, trust_env=False)
        with openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", http_client=http) as client:
            while not self._stop.is_set():
                ask = self._stream if choice.random() < 0.5 else self._whole
                number = choice.randrange(1, 100)
                outcome = ask(
                    client, f"What is {number} + 2?", choice.randrange(10, self.max_tokens)
                )
                with self._lock:
                    self.outcomes.append(outcome)
                self._stop.wait(choice.uniform(0, THINK_S))

    def _count(self, request: httpx.Request) -> None:
        with self._lock:
            self.attempts[int(request.headers.get("x-stainless-retry-count", 0))] += 1

    def _whole(self, client: openai.OpenAI, text: str, max_tokens: int) -> Outcome:
        try:
            raw = client.chat.completions.with_raw_response.create(
                model="demo",
                messages=[{"role": "user", "content": text}],
                max_tokens=max_tokens,
                extra_body={"ignore_eos": True},
            )
            answer = raw.parse()
        except openai.APIError as error:
            return Outcome(False, "", 0, told(error))
        usage = answer.usage
        is_whole = usage is not None and usage.completion_tokens == max_tokens
        arm = raw.headers["x-intramural-arm"]
        return Outcome(False, arm, 0, None if is_whole else "not all tokens")

    def _stream(self, client: openai.OpenAI, text: str, max_tokens: int) -> Outcome:
        arm, num_chunks, reason = "", 0, None
        try:
            raw = client.chat.completions.with_raw_response.create(
                model="demo",
                messages=[{"role": "user", "content": text}],
                max_tokens=max_tokens,
                stream=True,
                extra_body={"ignore_eos": True},
            )
            arm = raw.headers["x-intramural-arm"]
            for chunk in raw.parse():
                num_chunks += 1
                if num_chunks == 1:
                    self._running(arm, 1)
                reason = chunk.choices[0].finish_reason
        except openai.APIError as error:
            return Outcome(True, arm, num_chunks, told(error))
        finally:
            if num_chunks:
                self._running(arm, -1)
        return Outcome(True, arm, num_chunks, None if reason == "length" else f"ended: {reason}")

    def _running(self, arm: str, change: int) -> None:
        with self._lock:
            self.streaming[arm] += change


def told(error: openai.APIError) -> str:
    return f"{type(error).__name__}: {error} ({error.__cause__!r})"
