"""The official client but for tools: sync and async, streamed and not."""

from __future__ import annotations

import json
from contextlib import contextmanager

import openai
from pydantic import BaseModel, Field

HELLO = [{"role": "user", "content": "Say hello."}]


class City(BaseModel):
    """With bounds, as a small model may not find the end of a text."""

    name: str = Field(max_length=24)
    country: str = Field(max_length=24)
    is_capital: bool


CITY = [{"role": "user", "content": "Describe the city of Paris as JSON."}]
CITY_FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "City",
        "strict": True,
        "schema": {**City.model_json_schema(), "additionalProperties": False},
    },
}


@contextmanager
def _client(server, **more):
    with openai.OpenAI(base_url=server.url, api_key="unused", **more) as client:
        yield client


def _async_client(server, **more):
    return openai.AsyncOpenAI(base_url=server.url, api_key="unused", **more)


def _asked(server, messages=HELLO, **more):
    return {"model": server.model, "messages": messages, "max_tokens": 24, "temperature": 0, **more}


def models_list(server):
    with _client(server) as client:
        assert server.model in [model.id for model in client.models.list()]
        assert client.models.retrieve(server.model).id == server.model


async def models_list_async(server):
    async with _async_client(server) as client:
        assert server.model in [model.id async for model in client.models.list()]


def chat_create(server):
    with _client(server) as client:
        answer = client.chat.completions.create(**_asked(server))
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens > answer.usage.completion_tokens > 0


async def chat_create_async(server):
    async with _async_client(server) as client:
        answer = await client.chat.completions.create(**_asked(server))
    assert answer.choices[0].message.content


def chat_create_streamed(server):
    with _client(server) as client:
        whole = client.chat.completions.create(**_asked(server))
        options = {"include_usage": True}
        chunks = list(
            client.chat.completions.create(**_asked(server, stream=True, stream_options=options))
        )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


async def chat_create_streamed_async(server):
    async with _async_client(server) as client:
        stream = await client.chat.completions.create(**_asked(server, stream=True))
        reasons = [chunk.choices[0].finish_reason async for chunk in stream]
    assert reasons[-1] in {"stop", "length"}
    assert not any(reasons[:-1])


def chat_continuous_usage(server):
    options = {"include_usage": True, "continuous_usage_stats": True}
    with _client(server) as client:
        chunks = list(
            client.chat.completions.create(**_asked(server, stream=True, stream_options=options))
        )
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[-1] > 0


def chat_stream(server):
    with (
        _client(server) as client,
        client.chat.completions.stream(**_asked(server)) as stream,
    ):
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds
    assert answer.choices[0].message.content


async def chat_stream_async(server):
    async with _async_client(server) as client:
        async with client.chat.completions.stream(**_asked(server)) as stream:
            kinds = {event.type async for event in stream}
        assert {"content.delta", "content.done"} <= kinds


def chat_parse(server):
    with _client(server) as client:
        answer = client.chat.completions.parse(
            **_asked(server, CITY, max_tokens=160), response_format=City
        )
    assert answer.choices[0].finish_reason == "stop"
    assert isinstance(answer.choices[0].message.parsed, City)


async def chat_parse_async(server):
    async with _async_client(server) as client:
        answer = await client.chat.completions.parse(
            **_asked(server, CITY, max_tokens=160), response_format=City
        )
    assert isinstance(answer.choices[0].message.parsed, City)


def chat_stream_parsed(server):
    with (
        _client(server) as client,
        client.chat.completions.stream(
            **_asked(server, CITY, max_tokens=160), response_format=City
        ) as stream,
    ):
        for _event in stream:
            pass
        answer = stream.get_final_completion()
    assert isinstance(answer.choices[0].message.parsed, City)


def chat_json_schema(server):
    with _client(server) as client:
        answer = client.chat.completions.create(
            **_asked(server, CITY, max_tokens=160, response_format=CITY_FORMAT)
        )
    City.model_validate_json(answer.choices[0].message.content)


def chat_json_object(server):
    with _client(server) as client:
        answer = client.chat.completions.create(
            **_asked(server, CITY, max_tokens=400, response_format={"type": "json_object"})
        )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)


def with_raw_response(server):
    with _client(server) as client:
        raw = client.chat.completions.with_raw_response.create(**_asked(server))
    assert raw.headers["content-type"].startswith("application/json")
    assert raw.http_response.status_code == 200
    assert raw.request_id
    assert raw.parse().choices[0].message.content


def with_streaming_response(server):
    with (
        _client(server) as client,
        client.chat.completions.with_streaming_response.create(**_asked(server)) as raw,
    ):
        assert "chat.completion" in "".join(raw.iter_text())


def several_choices(server):
    with _client(server) as client:
        answer = client.chat.completions.create(**_asked(server, n=3, max_tokens=6))
        stream = client.chat.completions.create(**_asked(server, n=3, max_tokens=6, stream=True))
        indices = {choice.index for chunk in stream for choice in chunk.choices}
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert indices == {0, 1, 2}


def logprobs(server):
    asked = _asked(server, logprobs=True, top_logprobs=3, max_tokens=4)
    with _client(server) as client:
        answer = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in tokens)
    streamed = [
        token
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content
    ]
    assert [token.token for token in streamed] == [token.token for token in tokens]


def second_turn_of_text(server):
    with _client(server) as client:
        first = client.chat.completions.create(**_asked(server))
        told = [*HELLO, first.choices[0].message.model_dump(), *HELLO]
        assert client.chat.completions.create(**_asked(server, told)).choices[0].message.content


def completions_create(server):
    with _client(server) as client:
        answer = client.completions.create(
            model=server.model, prompt="1, 2, 3,", max_tokens=6, temperature=0, logprobs=2
        )
        stream = client.completions.create(
            model=server.model, prompt="1, 2, 3,", max_tokens=6, temperature=0, stream=True
        )
        text = "".join(chunk.choices[0].text for chunk in stream)
    assert answer.choices[0].text == text
    told = answer.choices[0].logprobs
    for at, token in enumerate(told.tokens[:-1]):
        assert told.text_offset[at + 1] - told.text_offset[at] == len(token)


async def completions_create_async(server):
    async with _async_client(server) as client:
        answer = await client.completions.create(
            model=server.model, prompt=["1, 2,", "a, b,"], max_tokens=4, temperature=0
        )
    assert [choice.index for choice in answer.choices] == [0, 1]


def completions_echo(server):
    with _client(server) as client:
        answer = client.completions.create(
            model=server.model, prompt="1, 2, 3,", max_tokens=1, echo=True, logprobs=1
        )
    (choice,) = answer.choices
    assert choice.text.startswith("1, 2, 3,")
    assert choice.logprobs.token_logprobs[0] is None
    assert choice.logprobs.text_offset[0] == 0


def _raised(kind, ask):
    raised = None
    try:
        ask()
    except openai.APIError as error:
        raised = error
    assert type(raised) is kind, f"not {kind.__name__} but {raised!r}"
    return raised


def error_classes(server):
    with _client(server, max_retries=0) as client:
        create = client.chat.completions.create
        bad = _raised(openai.BadRequestError, lambda: create(**_asked(server, temperature=9)))
        assert (bad.status_code, bad.param) == (400, "temperature")
        gone = _raised(
            openai.NotFoundError, lambda: create(**{**_asked(server), "model": "gpt-none"})
        )
        assert gone.code == "model_not_found"
        long = [{"role": "user", "content": "word " * 40_000}]
        over = _raised(openai.BadRequestError, lambda: create(**_asked(server, long)))
        assert over.code == "context_length_exceeded"
        _raised(
            openai.BadRequestError,
            lambda: create(**_asked(server, stream=True, temperature=9)),
        )


async def error_classes_async(server):
    async with _async_client(server, max_retries=0) as client:
        param = None
        try:
            await client.chat.completions.create(**_asked(server, temperature=9))
        except openai.BadRequestError as error:
            param = error.param
        assert param == "temperature"


def time_out_then_answer(server):
    """A client that gives up leaves a server that answers the next."""
    with _client(server, max_retries=1) as client:
        short = client.with_options(timeout=0.001)
        _raised(openai.APITimeoutError, lambda: short.chat.completions.create(**_asked(server)))
        assert client.chat.completions.create(**_asked(server)).choices[0].message.content


def stream_closed_early(server):
    with _client(server) as client:
        for _ in range(3):
            with client.chat.completions.create(**_asked(server, stream=True)) as stream:
                next(iter(stream))
        assert client.chat.completions.create(**_asked(server)).choices[0].message.content
