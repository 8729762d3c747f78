"""The official client over a real socket: what we send is what it takes for OpenAI's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from serve.governance.identity import keys
from tests.serve.api.house import (
    ANSWER,
    MODEL,
    House,
    chat,
    events_of,
    house,
    is_free,
    pipeline_of,
    running,
    until,
)

MESSAGES: Any = [{"role": "user", "content": "Where is the audit log?"}]


@asynccontextmanager
async def served(home: House, key: str = "none") -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        running(home) as (_, url),
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client,
    ):
        yield client


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with served(house()) as client:
        yield client


def strictly(kind: Any, answer: Any) -> None:
    """The answer holds against the client's type without its leniency, and has no field beyond."""
    kind.model_validate(answer.model_dump(), strict=True)
    assert not answer.model_extra


async def test_a_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    strictly(ChatCompletion, answer)
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.system_fingerprint
    assert answer._request_id
    assert answer._request_id.startswith("req-")


async def test_a_chat_in_several_choices_with_logprobs(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL, messages=MESSAGES, n=3, logprobs=True, top_logprobs=2, max_tokens=4
    )
    strictly(ChatCompletion, answer)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice in answer.choices:
        assert choice.finish_reason == "length"
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        raw = b"".join(bytes(token.bytes or ()) for token in choice.logprobs.content)
        assert raw.decode() == choice.message.content
        assert all(len(token.top_logprobs) == 2 for token in choice.logprobs.content)


async def test_a_streamed_chat(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    for chunk in chunks:
        strictly(ChatCompletionChunk, chunk)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    first, *middle, last, usage = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    text = "".join(chunk.choices[0].delta.content or "" for chunk in middle)
    assert text == ANSWER
    assert all(chunk.choices[0].finish_reason is None for chunk in middle)
    assert all(chunk.choices[0].delta.role is None for chunk in middle)
    assert last.choices[0].finish_reason == "stop"
    assert last.choices[0].delta.content is None
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens > 5
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_a_streamed_chat_in_several_choices(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, n=3, logprobs=True, max_tokens=5
    )
    texts = ["", "", ""]
    raw = [b"", b"", b""]
    order: list[list[str]] = [[], [], []]
    async for chunk in stream:
        strictly(ChatCompletionChunk, chunk)
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        kind = "role" if choice.delta.role else "end" if choice.finish_reason else "text"
        order[choice.index].append(kind)
        if choice.logprobs and choice.logprobs.content:
            raw[choice.index] += b"".join(bytes(t.bytes or ()) for t in choice.logprobs.content)
    assert [one.decode() for one in raw] == texts
    for kinds in order:
        assert kinds[0] == "role"
        assert kinds[-1] == "end"
        assert kinds.count("role") == kinds.count("end") == 1


async def test_the_clients_own_accumulator_agrees(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == ANSWER


async def test_completions(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model=MODEL, prompt=["a", "b"], n=2, logprobs=2, max_tokens=3
    )
    strictly(Completion, answer)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert "".join(choice.logprobs.tokens or ()) == choice.text
        assert choice.logprobs.text_offset == [0, 3, 9]
        assert all(len(top) in {2, 3} for top in choice.logprobs.top_logprobs or ())


async def test_completions_stop_at_sixteen_tokens_unless_told(client: openai.AsyncOpenAI) -> None:
    async with served(house(pipeline_of(script=None))) as other:
        answer = await other.completions.create(model=MODEL, prompt=[5, 6, 7])
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16
    assert answer.usage.prompt_tokens == 3


async def test_an_echo_with_logprobs(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model=MODEL, prompt="Where is it?", echo=True, logprobs=2, max_tokens=1, best_of=2
    )
    (choice,) = answer.choices
    assert choice.text == "Where is it?The"
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert choice.logprobs.token_logprobs is not None
    # OpenAI's own answer has null for the first; the client's type does not know it.
    assert choice.logprobs.token_logprobs[0] is None
    for token, offset in zip(
        choice.logprobs.tokens, choice.logprobs.text_offset or (), strict=True
    ):
        assert choice.text.startswith(token, offset)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


async def test_2048_prompts(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model=MODEL, prompt=["log"] * 2048, max_tokens=2)
    strictly(Completion, answer)
    assert [choice.index for choice in answer.choices] == list(range(2048))
    assert {choice.text for choice in answer.choices} == {"The audit"}


async def test_streamed_completions(client: openai.AsyncOpenAI) -> None:
    stream = await client.completions.create(
        model=MODEL,
        prompt="a",
        stream=True,
        logprobs=0,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    for chunk in chunks:
        # OpenAI sends null until the last chunk; the client's type knows only the last one.
        filled = {"finish_reason": "stop"}
        choices = [choice.model_copy(update=filled) for choice in chunk.choices]
        strictly(Completion, chunk.model_copy(update={"choices": choices}))
    assert "".join(c.choices[0].text for c in chunks[:-1]) == ANSWER
    offsets = [
        offset
        for chunk in chunks[:-2]
        if chunk.choices[0].logprobs
        for offset in chunk.choices[0].logprobs.text_offset or ()
    ]
    assert offsets == sorted(offsets)
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None


async def test_models(client: openai.AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    assert [model.id for model in models] == [MODEL]
    assert (await client.models.retrieve(MODEL)).created == 1_700_000_000
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("org/other")


async def test_refusals_are_the_clients_own_errors(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        await client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=9)
    assert refusal.value.param == "temperature"
    assert refusal.value.code == "invalid_value"
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="other", messages=MESSAGES)
    assert unknown.value.code == "model_not_found"


async def test_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = keys.create(file)
    home = house(keys=file)
    async with served(home, key) as client:
        assert await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    async with served(home, "sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model=MODEL, messages=MESSAGES)


async def test_an_engine_that_dies_in_mid_stream_is_an_error_in_band() -> None:
    home = house(pipeline_of(die_after=3))
    async with served(home) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        chunks = []

        async def collect() -> None:
            async for chunk in stream:
                chunks.append(chunk)  # noqa: PERF401  it raises on the way

        with pytest.raises(openai.APIError) as failure:
            await collect()
        assert len(chunks) >= 3
        assert failure.value.code == "engine_dead"
    record = home.records.last
    assert (record.status, record.error_code) == (200, "engine_dead")
    assert is_free(home.pipeline)


async def test_an_engine_that_dies_before_a_whole_answer_is_a_status() -> None:
    home = house(pipeline_of(die_after=3))
    async with served(home) as client:
        with pytest.raises(openai.InternalServerError) as failure:
            await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert failure.value.status_code == 503
    assert failure.value.code == "engine_dead"


async def test_an_engine_that_dies_before_the_first_text_of_a_stream_is_a_status() -> None:
    """So that a proxy, or the client, may ask another replica."""
    home = house(pipeline_of(tokens_per_s=0.001))
    async with home.client() as client:
        asking = asyncio.create_task(
            client.post("/v1/chat/completions", json=chat(stream=True), timeout=None)
        )
        await until(lambda: home.pipeline.engine.load().num_running == 1)
        home.pipeline.engine.die("It stopped.")
        response = await asking
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "engine_dead"
    assert response.headers["x-should-retry"] == "true"
    assert home.records.last.error_code == "engine_dead"
    assert is_free(home.pipeline)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dead_engine_refuses_by_status(stream: bool) -> None:
    pipeline = pipeline_of()
    home = house(pipeline)
    await pipeline.engine.close()
    async with home.client() as client:
        response = await client.post("/v1/chat/completions", json=chat(stream=stream))
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["code"] == "engine_dead"
    assert home.records.last.status == 503


async def test_the_event_stream_is_spelt_as_clients_expect() -> None:
    async with house().client() as client:
        response = await client.post("/v1/chat/completions", json=chat(stream=True))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in response.headers
    assert response.text.endswith("data: [DONE]\n\n")
    assert all("usage" not in event for event in events_of(response.text)[:-1])


async def test_tools_and_roles_reach_the_template() -> None:
    home = house()
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    async with home.client() as client:

        async def rendered(**fields: Any) -> str:
            body = {"messages": [{"role": "user", "content": "x"}], **fields}
            tokens = (await client.post("/tokenize", json=body)).json()["tokens"]
            return str((await client.post("/detokenize", json={"tokens": tokens})).json()["prompt"])

        assert "look_up" in await rendered(tools=tools)
        roles = await rendered(
            messages=[
                {"role": "developer", "content": [{"type": "text", "text": "a"}] * 2},
                {"role": "assistant", "tool_calls": [_call()], "content": None},
                {"role": "tool", "content": "4", "tool_call_id": "1"},
            ]
        )
        with_none = await client.post(
            "/v1/chat/completions", json=chat(tools=tools, tool_choice="none")
        )
        without = await client.post("/v1/chat/completions", json=chat())
    assert roles.startswith("<|im_start|>system\na\na<|im_end|>\n<|im_start|>assistant\n<|im_end|>")
    assert "<|im_start|>tool\n4<|im_end|>" in roles
    usages = [response.json()["usage"]["prompt_tokens"] for response in (with_none, without)]
    assert usages[0] == usages[1]


def _call() -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}}
