"""Token routes: what the model would see of a prompt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from serve.api.json_lists import JsonLists
from serve.api.operations.tokenize import INLINE_TOKENS, MAX_RUNNING, MAX_WAITING, SLICE_TOKENS
from serve.pipeline.events import Prompt, TextPrompt
from tests.serve.api.house import chat, house, pipeline_of
from tests.serve.api.ticker import Ticker


async def test_token_routes_agree_with_each_other() -> None:
    async with house().client() as client:
        body = {"prompt": "Where is the 🙂?", "return_token_strs": True}
        answer = (await client.post("/tokenize", json=body)).json()
        back = (await client.post("/detokenize", json={"tokens": answer["tokens"]})).json()
    assert answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
    assert answer["max_model_len"] == 1024
    assert back == {"prompt": body["prompt"]}


@pytest.mark.parametrize(("given", "expected"), [(None, True), (True, True), (False, False)])
async def test_special_tokens_are_added_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: bool | None, expected: bool
) -> None:
    home = house()
    asked: list[Prompt] = []

    async def encode(prompt: Prompt) -> list[int]:
        asked.append(prompt)
        return [1]

    monkeypatch.setattr(home.pipeline, "encode", encode)
    async with home.client() as client:
        body = {"prompt": "x", "add_special_tokens": given}
        assert (await client.post("/tokenize", json=body)).status_code == 200
    assert asked == [TextPrompt("x", add_special_tokens=expected)]


@pytest.mark.parametrize("has_texts", [True, False])
async def test_many_tokens_are_answered_in_slices(
    monkeypatch: pytest.MonkeyPatch, *, has_texts: bool
) -> None:
    home, ticker = house(), Ticker()
    real_text, real_add = type(home.pipeline).token_text, JsonLists.add

    def token_text(pipeline: Any, token_id: int) -> str:
        ticker.count()
        return real_text(pipeline, token_id)

    def add(lists: JsonLists, given: Any) -> None:
        if not has_texts:
            ticker.count(len(given["tokens"]))
        real_add(lists, given)

    monkeypatch.setattr(type(home.pipeline), "token_text", token_text)
    monkeypatch.setattr(JsonLists, "add", add)
    text = "0a1b" * 5000
    async with ticker, home.client() as client:
        body = {"prompt": text, "return_token_strs": has_texts}
        answer = (await client.post("/tokenize", json=body)).json()
        back = (await client.post("/detokenize", json={"tokens": answer["tokens"][:1000]})).json()
    assert answer["count"] == len(answer["tokens"]) > 10 * SLICE_TOKENS
    assert back["prompt"] == text[: len(back["prompt"])]
    assert ("".join(answer["token_strs"]) == text) if has_texts else answer["token_strs"] is None
    assert ticker.most == SLICE_TOKENS


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
async def test_few_are_worked_on_at_once_and_the_rest_come_back_later(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    home = house()
    gate, inside, most = asyncio.Event(), 0, 0

    async def encode(_prompt: object) -> list[int]:
        nonlocal inside, most
        inside, most = inside + 1, max(most, inside + 1)
        await gate.wait()
        inside -= 1
        return [1]

    monkeypatch.setattr(home.pipeline, "encode", encode)
    async with home.client() as client:
        held = MAX_RUNNING + MAX_WAITING
        tasks = [
            asyncio.create_task(client.post("/tokenize", json={"prompt": "x"})) for _ in range(held)
        ]
        while inside < MAX_RUNNING:
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        refused = await client.post(path, json={"prompt": "x", "tokens": [1]})
        assert (await client.post("/v1/chat/completions", json=chat())).status_code == 200
        gate.set()
        answers = await asyncio.gather(*tasks)
        body = {"prompt": "x"} if path == "/tokenize" else {"tokens": [1]}
        assert (await client.post(path, json=body)).status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert {answer.status_code for answer in answers} == {200}
    assert most == MAX_RUNNING


async def test_a_whole_context_of_ids_becomes_text_on_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = house(pipeline_of(max_model_len=20_000))
    threads: list[bool] = []

    def decode(token_ids: Sequence[int]) -> str:
        threads.append(threading.current_thread() is threading.main_thread())
        return "x" * len(token_ids)

    monkeypatch.setattr(home.pipeline, "decode", decode)
    async with home.client() as client:
        for size in (INLINE_TOKENS, INLINE_TOKENS + 1):
            answer = await client.post("/detokenize", json={"tokens": [1] * size})
            assert len(answer.json()["prompt"]) == size
    assert threads == [True, False]
