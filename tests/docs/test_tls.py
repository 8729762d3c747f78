"""The page on TLS: its certificate and its nginx, run before a real server with keys."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from serve.governance.identity.keys import create
from tests.docs.blocks import blocks
from tests.e2e.replicas import proxy
from tests.e2e.server import free_port
from tests.house.tree import ROOT
from tests.programs import needs
from tests.serve.api.house import CHAT, House, house, is_free, pipeline_of, running, until

PAGE = (ROOT / "docs" / "tls.md").read_text("utf-8")
NAME = "llm.corp.example"
needs_nginx = needs("nginx", "openssl")


def block(language: str, word: str) -> str:
    (text,) = [b.text for b in blocks(PAGE) if b.language == language and word in b.text]
    return text


@dataclass
class Front:
    """Nginx with a certificate, and the server behind it."""

    client: httpx.AsyncClient
    home: House
    key: str


@asynccontextmanager
async def front(folder: Path, *, has_keys: bool = True) -> AsyncIterator[Front]:
    """The page's nginx, with our ports and paths, before a server in this process."""
    make = ["bash", "-c", block("sh", "openssl req")]
    await asyncio.to_thread(subprocess.run, make, cwd=folder, check=True, capture_output=True)
    key = create(folder / "keys.json")
    home = house(pipeline_of(tokens_per_s=100.0), keys=folder / "keys.json" if has_keys else None)
    port = free_port()
    async with AsyncExitStack() as stack:
        _, url = await stack.enter_async_context(running(home))
        text = block("nginx", "server {").replace("listen 443", f"listen 127.0.0.1:{port}")
        text = text.replace("/etc/ssl/private", str(folder))
        text = text.replace("127.0.0.1:8000", url.removeprefix("http://"))
        text = f"access_log {folder}/access.log;\n{text}"
        before = proxy(folder / "nginx", (), text=text, port=port)
        await asyncio.to_thread(before.__enter__)
        stack.push_async_callback(asyncio.to_thread, before.__exit__, None, None, None)
        client = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{port}",
            headers={"Host": NAME, "Authorization": f"Bearer {key}"},
            verify=ssl.create_default_context(cafile=folder / "llm.crt"),
        )
        yield Front(await stack.enter_async_context(client), home, key)


async def ask(front: Front, path: str) -> httpx.Response:
    """Ask under the name in the certificate, which no resolver knows."""
    request = front.client.build_request("GET", path, extensions={"sni_hostname": NAME})
    return await front.client.send(request)


@needs_nginx
async def test_a_stream_passes_as_it_is_made(tmp_path: Path) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with front(tmp_path) as before:
        request = before.client.build_request(
            "POST", CHAT, json=body, extensions={"sni_hostname": NAME}
        )
        answer = await before.client.send(request, stream=True)
        assert answer.status_code == httpx.codes.OK
        events = answer.aiter_lines()
        async for line in events:
            if line.startswith("data: ") and json.loads(line[6:])["choices"][0]["delta"]["content"]:
                break
        assert not is_free(before.home.pipeline), "the first text is here, and the last is not made"
        assert [line async for line in events if line][-1] == "data: [DONE]"
        await until(lambda: is_free(before.home.pipeline))


@needs_nginx
async def test_names_and_routes_behind_it(tmp_path: Path) -> None:
    async with front(tmp_path) as before:
        assert (await ask(before, "/v1/models")).status_code == httpx.codes.OK
        assert (await ask(before, "/metrics")).status_code == httpx.codes.NOT_FOUND
        del before.client.headers["Authorization"]
        refused = await ask(before, "/v1/models")
        assert refused.status_code == httpx.codes.UNAUTHORIZED
        assert refused.json()["error"]["code"] == "invalid_api_key"
        assert "nginx/" not in refused.headers["server"]


@needs_nginx
async def test_a_server_without_keys_says_what_the_page_says(tmp_path: Path) -> None:
    async with front(tmp_path, has_keys=False) as before:
        refused = await ask(before, "/v1/models")
    said = "This server has no API keys, so it answers to loopback hosts only"
    assert refused.status_code == httpx.codes.FORBIDDEN
    assert refused.json()["error"]["message"].startswith(said)
    assert f"`{said}`" in PAGE
