"""The official client over a real socket, where an answer calls tools, reasons or is of a schema.

What the pipeline would say is scripted here: these tests are of what becomes of it on the wire.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from serve.pipeline.events import (
    ChatPrompt,
    ChoiceEvent,
    Event,
    Finished,
    GenerateRequest,
    Started,
    TextDelta,
    ToolCallDelta,
)
from serve.timeline import Usage
from tests.serve.api.house import MODEL, house, pipeline_of, running

USER: Any = {"role": "user", "content": "What is the weather in Oslo?"}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
USAGE = Usage(prompt_tokens=7, completion_tokens=9, reasoning_tokens=4)
THOUGHT = TextDelta(index=0, text="I look it up.", channel="reasoning")
CALLS: list[ChoiceEvent] = [
    THOUGHT,
    ToolCallDelta(index=0, call=0, call_id="call_" + "0" * 24, name="weather"),
    ToolCallDelta(index=0, call=0, arguments='{"city": '),
    ToolCallDelta(index=0, call=0, arguments='"Oslo"}'),
    Finished(index=0, reason="tool_calls", usage=USAGE),
]
SAID: list[ChoiceEvent] = [
    THOUGHT,
    TextDelta(index=0, text="It snows."),
    Finished(index=0, reason="stop", usage=USAGE),
]


class Weather(BaseModel):
    """A shape to ask for."""

    city: str
    degrees: int


class Scripted:
    """A pipeline that keeps its requests, and answers each by the next of its scripts."""

    def __init__(self, *scripts: Sequence[ChoiceEvent]) -> None:
        self._pipeline = pipeline_of()
        self._scripts = list(scripts)
        self.requests: list[GenerateRequest] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        yield Started(prompt_tokens=7)
        for event in self._scripts[(len(self.requests) - 1) % len(self._scripts)]:
            yield event
        request.timeline.finish_reason = "stop"


@asynccontextmanager
async def served(pipeline: Scripted) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        running(house(pipeline)) as (_, url),
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def prompt_of(request: GenerateRequest) -> ChatPrompt:
    (prompt,) = request.prompts
    assert isinstance(prompt, ChatPrompt)
    return prompt


async def answered(
    client: openai.AsyncOpenAI, *, is_streamed: bool, **fields: Any
) -> ChatCompletion:
    if not is_streamed:
        return await client.chat.completions.create(model=MODEL, **fields)
    async with client.chat.completions.stream(model=MODEL, **fields) as stream:
        return await stream.get_final_completion()


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_conversation_of_two_steps(is_streamed: bool) -> None:
    pipeline = Scripted(CALLS, SAID)
    messages = [USER]
    async with served(pipeline) as client:
        for _ in range(2):
            answer = await answered(
                client, is_streamed=is_streamed, messages=messages, tools=[TOOL]
            )
            (choice,) = answer.choices
            messages.append(choice.message.model_dump())
            for call in choice.message.tool_calls or ():
                assert call.type == "function"
                assert json.loads(call.function.arguments) == {"city": "Oslo"}
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "-3, snow"})
    assert choice.message.content == "It snows."
    assert choice.finish_reason == "stop"
    _, called, result = prompt_of(pipeline.requests[1]).messages
    assert called["content"] is None
    assert called["reasoning_content"] == "I look it up."
    assert called["tool_calls"][0]["id"] == result["tool_call_id"]
    use = pipeline.requests[0].tool_use
    assert use is not None
    assert use.tools[0].is_strict


async def test_parsed_tools_and_formats() -> None:
    of_schema = [
        TextDelta(index=0, text='{"city": "Oslo", '),
        TextDelta(index=0, text='"degrees": -3}'),
        Finished(index=0, reason="stop", usage=USAGE),
    ]
    pipeline = Scripted(of_schema)
    async with served(pipeline) as client:
        answer = await client.chat.completions.parse(
            model=MODEL, messages=[USER], response_format=Weather
        )
        async with client.chat.completions.stream(
            model=MODEL, messages=[USER], response_format=Weather
        ) as stream:
            streamed = await stream.get_final_completion()
    for one in (answer, streamed):
        assert one.choices[0].message.parsed == Weather(city="Oslo", degrees=-3)
    asked = pipeline.requests[0].format
    assert asked is not None
    assert json.loads(asked.text)["additionalProperties"] is False
    async with served(Scripted(CALLS)) as client:
        call = await client.chat.completions.parse(
            model=MODEL, messages=[USER], tools=[openai.pydantic_function_tool(Weather)]
        )
    (choice,) = call.choices
    assert choice.finish_reason == "tool_calls"


async def test_events_of_the_clients_stream_helper() -> None:
    async with (
        served(Scripted(CALLS)) as client,
        client.chat.completions.stream(model=MODEL, messages=[USER], tools=[TOOL]) as stream,
    ):
        kinds = [event.type async for event in stream]
    assert kinds.count("tool_calls.function.arguments.delta") == 3
    assert kinds.count("tool_calls.function.arguments.done") == 1


async def test_the_older_form_over_the_wire() -> None:
    async with served(Scripted(CALLS)) as client:
        answer = await client.chat.completions.create(
            model=MODEL, messages=[USER], functions=[TOOL["function"]]
        )
        stream = await client.chat.completions.create(
            model=MODEL, messages=[USER], functions=[TOOL["function"]], stream=True
        )
        deltas = [chunk.choices[0].delta.function_call async for chunk in stream]
    (choice,) = answer.choices
    assert choice.finish_reason == "function_call"
    assert choice.message.function_call is not None
    assert json.loads(choice.message.function_call.arguments) == {"city": "Oslo"}
    said = [delta for delta in deltas if delta is not None]
    assert said[0].name == "weather"
    assert json.loads("".join(delta.arguments or "" for delta in said)) == {"city": "Oslo"}


async def test_usage_counts_the_reasoning() -> None:
    async with served(Scripted(SAID)) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=[USER])
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.choices[0].message.model_extra == {
        "reasoning": "I look it up.",
        "reasoning_content": "I look it up.",
    }
