"""200 canaries by every way in: ok, refused, failed, crashed, cancelled, of every route.

Each is a word that occurs nowhere else. Afterwards everything that the server wrote is searched,
its streams, its folders, its metrics, its command line and what reading its memory map names: a
canary is found nowhere. The content key opens the audit log's contents, and there each one is that
was part of a call.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import REPOSITORY, Server, environment, run_serve, serving
from tests.serve.api.house import bearer

NUM_CANARIES = 200
CANARY = re.compile(rb"canary[0-9]{4}zx")
LIMITS = """
currency = "EUR"
[[limits]]
name = "each key"
key = "*"
requests_per_minute = 100000
"""
ROUTES = ("/v1/chat/completions", "/v1/completions")


def body_of(route: str, text: str, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "demo", "max_tokens": 6, **more}
    if route == ROUTES[0]:
        return asked | {"messages": [{"role": "user", "content": f"say {text}"}]}
    return asked | {"prompt": f"say {text}"}


Made = dict[str, Any]
ANSWERED: dict[str, Callable[[str, str], Made]] = {
    "whole": lambda route, text: {},
    "stream": lambda route, text: {"stream": True},
    "stop": lambda route, text: {"stop": [text]},
    "user": lambda route, text: {"user": text},
}
"""Fields of requests that are answered."""
REFUSED: dict[str, Callable[[str, str], tuple[int, str, Any]]] = {
    "bad field": lambda route, text: (400, route, body_of(route, text, temperature=text)),
    "unknown field": lambda route, text: (400, route, body_of(route, text, **{text: 1})),
    "bad model": lambda route, text: (404, route, body_of(route, text) | {"model": text}),
    "too long": lambda route, text: (400, route, body_of(route, f"{text} " * 5000)),
    "bad json": lambda route, text: (400, route, f'{{"messages": "{text}", "messages": 1}}'),
    "bad tool": lambda route, text: (400, ROUTES[0], body_of(ROUTES[0], text, tools=[text])),
    "unknown route": lambda route, text: (404, f"/v1/{text}", {"model": text}),
    "in the query": lambda route, text: (404, f"/v1/nothing?q={text}", {}),
}
"""Status, path and body of requests that are refused."""
WAYS = (*ANSWERED, *REFUSED, "cancelled", "tokenize", "no key")


def canaries() -> Iterator[str]:
    return (f"canary{number:04d}zx" for number in itertools.count())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "limits.toml").write_text(LIMITS)
    (tmp_path / "content.key").write_text("5a" * 32 + "\n")
    (tmp_path / "content.key").chmod(0o600)
    return tmp_path


class Asker:
    """A client that carries canaries by every way.

    Attributes:
        begun: canaries of calls that the engine was given: the audit log's content has them.
    """

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        self._key = key
        self.begun: set[str] = set()

    def ask(self, way: str, route: str, text: str) -> None:
        if way in ANSWERED:
            asked = body_of(route, text) | ANSWERED[way](route, text)
            answer = self._post(route, asked)
            assert answer.status_code == 200, answer.text
            self.begun.add(text)
        elif way == "cancelled":
            self._leave(route, body_of(route, text, stream=True, max_tokens=200))
            self.begun.add(text)
        elif way == "tokenize":
            assert self._post("/tokenize", {"model": "demo", "prompt": text}).status_code == 200
        elif way == "no key":
            self._refused(401, route, body_of(route, text), key=f"sk-{text}.{text}")
        else:
            status, path, asked = REFUSED[way](route, text)
            self._refused(status, path, asked)

    def _post(self, route: str, asked: Any, key: str | None = None) -> httpx.Response:
        content = asked if isinstance(asked, str) else json.dumps(asked)
        headers = bearer(key or self._key) | {"content-type": "application/json"}
        url = self._server.url + route
        return httpx.post(url, content=content, headers=headers, verify=False, timeout=30)

    def _refused(self, status: int, route: str, asked: Any, key: str | None = None) -> None:
        answer = self._post(route, asked, key)
        assert answer.status_code == status, answer.text

    def _leave(self, route: str, asked: Any) -> None:
        """Read the beginning of an answer, and go."""
        content = json.dumps(asked).encode()
        port = int(self._server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            head = f"POST {route} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self._key}"
            head += f"\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
            client.sendall(head.encode() + content)
            assert b" 200 " in client.recv(100)


def found_in(folder: Path) -> dict[str, set[bytes]]:
    """Canaries by file of a folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and (there := set(CANARY.findall(path.read_bytes()))):
            found[path.relative_to(folder).as_posix()] = there
    return found


def test_a_planted_canary_is_found(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "log").write_bytes(b"x\0canary0007zx")
    assert found_in(tmp_path) == {"below/log": {b"canary0007zx"}}


def proc_texts(server: Server) -> bytes:
    """What any user of the machine may read of the process."""
    proc = Path("/proc") / str(server.process.pid)
    return b"".join((proc / name).read_bytes() for name in ("cmdline", "environ", "status"))


def decrypted(folder: Path) -> bytes:
    """All that the audit log's contents say, by the operator's own command."""
    words = [sys.executable, "-m", "serve", "audit", "export", str(folder / "audit")]
    words += ["--content-key-file", str(folder / "content.key")]
    done = subprocess.run(
        words, cwd=REPOSITORY, env=environment(), capture_output=True, check=True, timeout=120
    )
    return done.stdout


def settings(folder: Path) -> list[str]:
    return [
        *("--model", "demo", "--engine", "fake", "--api-key-file", str(folder / "keys.json")),
        *("--limits-file", str(folder / "limits.toml"), "--state-dir", str(folder / "state")),
        *("--audit-dir", str(folder / "audit"), "--audit-level", "full", "--audit-strict"),
        *("--audit-content-key-file", str(folder / "content.key"), "--max-model-len", "2048"),
    ]


@pytest.mark.parametrize("crashes", [False, True], ids=["ended", "killed"])
def test_canaries_are_in_the_encrypted_content_alone(
    folder: Path, crashes: bool, is_proving: bool
) -> None:
    """Each way by each route in `make test`; 200, and a server that is killed, in `make prove`."""
    if crashes and not is_proving:
        pytest.skip("another server of seconds; run by `make prove`")
    num_canaries = NUM_CANARIES if is_proving else len(WAYS) * len(ROUTES)
    made = run_serve("keys", "create", "--file", str(folder / "keys.json"))
    with serving(folder, settings(folder)) as server:
        asker = Asker(server, made.stdout.strip())
        turns = itertools.cycle(itertools.product(WAYS, ROUTES))
        sent = list(itertools.islice(canaries(), num_canaries))
        for (way, route), text in zip(turns, sent, strict=False):
            asker.ask(way, route, text)
        metrics = server.get("/metrics", headers=bearer(made.stdout.strip())).content
        seen_outside = proc_texts(server)
        if crashes:
            server.process.kill()
            server.process.wait(30)
        else:
            assert server.terminate() == 0
    assert CANARY.findall(metrics) == CANARY.findall(seen_outside) == []
    assert found_in(folder) == {}
    if crashes:  # the next start brings the last second under a checkpoint
        with serving(folder, settings(folder)) as server:
            assert server.terminate() == 0
        assert found_in(folder) == {}
    opened = set(CANARY.findall(decrypted(folder)))
    assert {text.encode() for text in asker.begun} <= opened
