"""A server that is stopped hands its prefix cache to the next one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import Server, serving

BODY = {
    "model": "demo",
    "messages": [
        {"role": "system", "content": "You answer in one word. " * 40},
        {"role": "user", "content": "What is Intramural?"},
    ],
    "max_tokens": 8,
    "temperature": 0,
    "logprobs": True,
}


def answer(server: Server) -> tuple[int, Any]:
    """Cached tokens, and the choices."""
    response = httpx.post(server.url + "/v1/chat/completions", json=BODY, timeout=60)
    assert response.status_code == httpx.codes.OK, response.text
    document = response.json()
    details = document["usage"].get("prompt_tokens_details") or {}
    return details.get("cached_tokens", 0), document["choices"]


def logged(server: Server, message: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{")
    return [line for line in lines if line["msg"] == message]


def test_after_sigterm_the_next_server_begins_with_what_was_cached(
    tmp_path: Path, *, is_proving: bool
) -> None:
    if not is_proving:
        pytest.skip("the server starts twice: make prove")
    key = tmp_path / "key"
    key.write_text("0f" * 32)
    key.chmod(0o600)
    folder = tmp_path / "cache"
    asked = ["--model", "demo", "--prefix-cache-dir", str(folder)]
    asked += ["--prefix-cache-key-file", str(key), "--log-format", "json"]
    with serving(tmp_path, asked) as server:
        cached, uncached_choices = answer(server)
        assert cached == 0
        assert server.terminate() == 0
        [saved] = logged(server, "prefix cache saved")
        assert saved["tokens"] > 100
    [path] = folder.glob("*.kv")
    assert path.stat().st_mode & 0o777 == 0o600
    with serving(tmp_path, asked) as server:
        [loaded] = logged(server, "prefix cache loaded")
        assert (loaded["tokens"], loaded["bytes"]) == (saved["tokens"], path.stat().st_size)
        assert "tokens loaded from" in server.log.read_text()
        cached, choices = answer(server)
        assert cached > 100
        assert choices == uncached_choices
        assert server.terminate() == 0
