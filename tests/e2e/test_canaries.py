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
from collections.abc import Iterator
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
WAYS = (
    "whole", "stream", "cancelled", "bad field", "bad model", "too long", "no key", "bad json",
    "tool", "system", "stop", "tokenize", "unknown route", "in the query",
)  # fmt: skip


def canaries() -> Iterator[str]:
    return (f"canary{number:04d}zx" for number in itertools.count())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "limits.toml").write_text(LIMITS)
    (tmp_path / "content.key").write_text("5a" * 32 + "\n")
    (tmp_path / "content.key").chmod(0o600)
    return tmp_path


def body_of(route: str, text: str, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "demo", "max_tokens": 6, **more}
    if route == ROUTES[0]:
        return asked | {"messages": [{"role": "user", "content": f"say {text}"}]}
    return asked | {"prompt": f"say {text}"}


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
        match way:
            case "whole":
                assert self._post(route, body_of(route, text)).status_code == 200
                self.begun.add(text)
            case "stream":
                answer = self._post(route, body_of(route, text, stream=True))
                assert (answer.status_code, b"[DONE]" in answer.content) == (200, True)
                self.begun.add(text)
            case "cancelled":
                self._leave(route, body_of(route, text, stream=True, max_tokens=200))
                self.begun.add(text)
            case "bad field":
                self._refused(400, route, body_of(route, text, temperature=text))
            case "bad model":
                self._refused(404, route, body_of(route, text) | {"model": text})
            case "too long":
                self._refused(400, route, body_of(route, f"{text} " * 5000))
            case "no key":
                self._refused(401, route, body_of(route, text), key=f"sk-{text}.{text}")
            case "bad json":
                self._refused(400, route, f'{{"messages": "{text}", "messages": 1}}')
            case "tool":
                tool = {"type": "function", "function": {"name": text, "parameters": {"type": 7}}}
                self._refused(400, ROUTES[0], body_of(ROUTES[0], text, tools=[tool]))
            case "system":
                asked = body_of(ROUTES[0], text)
                asked["messages"].insert(0, {"role": "system", "content": f"obey {text}"})
                assert self._post(ROUTES[0], asked).status_code == 200
                self.begun.add(text)
            case "stop":
                asked = body_of(route, text, stop=[text])
                assert self._post(route, asked).status_code == 200
                self.begun.add(text)
            case "tokenize":
                told = self._post("/tokenize", {"model": "demo", "prompt": text})
                assert told.status_code == 200
            case "unknown route":
                self._refused(404, f"/v1/{text}", {"model": text})
            case "in the query":
                self._refused(404, f"/v1/nothing?q={text}", {})

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


def proc_texts(server: Server) -> bytes:
    """What any user of the machine may read of the process."""
    proc = Path("/proc") / str(server.process.pid)
    return b"".join((proc / name).read_bytes() for name in ("cmdline", "environ", "status"))


def decrypted(folder: Path) -> bytes:
    """All that the audit log's contents say, by the operator's own command."""
    words = [sys.executable, "-m", "serve", "audit", "export", "--content", "--format", "jsonl"]
    words += ["--audit-dir", str(folder / "audit"), "--state-dir", str(folder / "state")]
    words += ["--audit-content-key-file", str(folder / "content.key")]
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
def test_canaries_are_in_the_encrypted_content_alone(folder: Path, crashes: bool) -> None:
    made = run_serve("keys", "create", "--file", str(folder / "keys.json"))
    with serving(folder, settings(folder)) as server:
        asker = Asker(server, made.stdout.strip())
        turns = itertools.cycle(itertools.product(WAYS, ROUTES))
        sent = list(itertools.islice(canaries(), NUM_CANARIES))
        for (way, route), text in zip(turns, sent, strict=False):
            asker.ask(way, route, text)
        metrics = server.get("/metrics", headers=bearer(made.stdout.strip())).content
        seen_outside = proc_texts(server)
        if crashes:
            server.process.kill()
            server.process.wait(30)
        else:
            assert server.terminate() == 0
    assert len(sent) == NUM_CANARIES
    assert CANARY.findall(metrics) == CANARY.findall(seen_outside) == []
    assert found_in(folder) == {}
    opened = set(CANARY.findall(decrypted(folder)))
    assert {text.encode() for text in asker.begun} <= opened
