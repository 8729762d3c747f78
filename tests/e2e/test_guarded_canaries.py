"""Canaries that a masking rule hits, with filter, cache and feedback on: nowhere, not even in the
encrypted contents of the audit log.

They come by the ways of test_canaries.py and by some that only these parts have.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import redis

from tests.e2e.server import Server, run_serve, serving
from tests.e2e.test_canaries import (
    CANARY,
    NUM_CANARIES,
    ROUTES,
    WAYS,
    Asker,
    body_of,
    canaries,
    decrypted,
    folder,
    found_in,
    proc_texts,
    settings,
)
from tests.serve.api.house import bearer
from tests.servers.fixtures import needs_redis
from tests.servers.redis import RedisServer, running_redis

__all__ = ["folder"]
MASKING = """
[default]
mask = ["canary"]
[patterns.canary]
pattern = 'canary[0-9]{4}zx'
max_chars = 12
"""
FILTER = """
version = "1"
[[rules]]
name = "said"
category = "house/said"
words = ["say"]
action = "count"
[[rules]]
name = "refused"
category = "house/refused"
words = ["forbidden"]
"""
MORE_WAYS = ("repeated", "feedback", "moderation", "filtered", "tools", "named", "echo")
CHAT, TEXT = ROUTES
TOOL = "lookup"


class GuardedAsker(Asker):
    """A client that also asks twice, gives feedback, and hides canaries in tools and names."""

    def ask(self, way: str, route: str, text: str) -> None:
        """Ask in one of all the ways."""
        if way not in MORE_WAYS:
            super().ask(way, route, text)
            return
        asked, status = body_of(route, text, temperature=0), 200
        if way == "filtered":
            asked, status = body_of(route, f"{text} forbidden"), 400
        elif way == "moderation":
            route, asked = "/v1/moderations", {"input": [f"forbidden {text}", text]}
        elif way == "tools":
            route, asked = CHAT, _with_tools(text)
        elif way == "named":
            message = {"role": "user", "name": text, "content": [{"type": "text", "text": text}]}
            route, asked = CHAT, {"model": "demo", "max_tokens": 6, "messages": [message]}
        elif way == "echo":
            route, asked = TEXT, body_of(TEXT, text, echo=True)
        answer = self._post(route, asked)
        assert answer.status_code == status, answer.text
        if way == "repeated":
            again = self._post(route, asked)
            assert again.headers["x-response-cache"] == "hit"
            assert again.json()["choices"] == answer.json()["choices"]
        if way == "feedback":
            told = {"id": answer.json()["id"], "score": 1, "text": f"good, {text}"}
            assert self._post("/v1/feedback", told).status_code == 200


def _with_tools(text: str) -> dict[str, object]:
    parameters = {
        "type": "object",
        "$comment": text,
        "properties": {"a": {"type": "string", "description": text, "default": text}},
    }
    function = {"name": TOOL, "description": text, "parameters": parameters}
    call = {"name": TOOL, "arguments": f'{{"a": "{text}"}}'}
    return {
        "model": "demo",
        "max_tokens": 6,
        "tools": [{"type": "function", "function": function}],
        "messages": [
            {"role": "user", "content": text},
            {
                "role": "assistant",
                "content": text,
                "tool_calls": [{"id": "call00001", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "call00001", "content": text},
            {"role": "user", "content": "go on"},
        ],
    }


def guards(folder: Path, store: RedisServer | None) -> list[str]:
    """The settings of masking, filter, cache and feedback."""
    for name, text in (("masking.toml", MASKING), ("filter.toml", FILTER)):
        (folder / name).write_text(text)
    for name in ("feedback.key", "answers.key"):
        (folder / name).write_text("5b" * 32)
        (folder / name).chmod(0o600)
    words = ["--masking-file", str(folder / "masking.toml")]
    words += ["--content-filter-file", str(folder / "filter.toml")]
    words += ["--feedback-key-file", str(folder / "feedback.key")]
    if store is None:
        return [*words, "--response-cache", "memory"]
    (folder / "cache-url").write_text(store.url)
    (folder / "cache-url").chmod(0o600)
    words += ["--response-cache", "shared", "--cache-url-file", str(folder / "cache-url")]
    return [*words, "--response-cache-key-file", str(folder / "answers.key")]


def stored_in(store: RedisServer) -> list[bytes]:
    """All names and values of the store."""
    found = []
    with redis.Redis(unix_socket_path=str(store.socket)) as client:
        for name in client.scan_iter():
            found += [bytes(name), bytes(client.dump(name) or b"")]
    return found


def send(server: Server, key: str, num_canaries: int) -> None:
    asker = GuardedAsker(server, key)
    turns = itertools.cycle(itertools.product((*WAYS, *MORE_WAYS), ROUTES))
    for (way, route), text in zip(turns, itertools.islice(canaries(), num_canaries), strict=False):
        asker.ask(way, route, text)


def check(folder: Path, engine: str, store: RedisServer | None) -> None:
    """All canaries sent, and looked for everywhere."""
    made = run_serve("keys", "create", "--file", str(folder / "keys.json"))
    key = made.stdout.strip()
    words = settings(folder) + guards(folder, store)
    words[words.index("--engine") + 1] = engine
    with serving(folder, words) as server:
        send(server, key, NUM_CANARIES)
        seen = server.get("/metrics", headers=bearer(key)).content + proc_texts(server)
        assert server.terminate() == 0
    assert CANARY.findall(seen) == []
    assert found_in(folder) == {}
    opened = decrypted(folder)
    assert CANARY.findall(opened) == []
    assert opened.count(b"[CANARY]") > NUM_CANARIES / 4
    if store is not None:
        stored = stored_in(store)
        assert len(stored) > 10
        assert CANARY.findall(b"\0".join(stored)) == []


@pytest.mark.parametrize("engine", ["fake", "transformers"])
def test_masked_canaries_are_nowhere(folder: Path, engine: str, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("another server of seconds; run by `make prove`")
    check(folder, engine, None)


@needs_redis
def test_masked_canaries_are_in_no_shared_store(folder: Path, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("two servers of seconds; run by `make prove`")
    with running_redis() as store:
        check(folder, "fake", store)
