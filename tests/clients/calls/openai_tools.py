"""The official client's tools: every choice, sync and async, streamed and not, and second turns."""

from __future__ import annotations

import json
from contextlib import contextmanager

import openai
from pydantic import BaseModel, Field

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city right now.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
STRICT = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
ASKED = [{"role": "user", "content": "What is the weather in Paris, in celsius?"}]
NAMED = {"type": "function", "function": {"name": "get_time"}}
CITY = [{"role": "user", "content": "Describe the city of Paris as JSON."}]


class City(BaseModel):
    """With bounds, as a small model may not find the end of a text."""

    name: str = Field(max_length=24)
    country: str = Field(max_length=24)
    is_capital: bool


@contextmanager
def _client(server, **more):
    with openai.OpenAI(base_url=server.url, api_key="unused", **more) as client:
        yield client


def _async_client(server, **more):
    return openai.AsyncOpenAI(base_url=server.url, api_key="unused", **more)


def _asked(server, messages, **more):
    return {"model": server.model, "messages": messages, "max_tokens": 24, "temperature": 0, **more}


def _arguments(call, *names):
    """Of a call of one of these functions, which are valid by its schema's names."""
    assert call.type == "function"
    assert call.id
    assert call.function.name in names
    arguments = json.loads(call.function.arguments)
    assert isinstance(arguments["city"], str)
    if call.function.name == "get_weather":
        assert arguments["unit"] in {"celsius", "fahrenheit"}
    return arguments


def tools_none(server):
    with _client(server) as client:
        answer = client.chat.completions.create(
            **_asked(server, ASKED, tools=[WEATHER], tool_choice="none")
        )
    assert answer.choices[0].message.content
    assert not answer.choices[0].message.tool_calls


def tools_auto(server):
    with _client(server) as client:
        answer = client.chat.completions.create(
            **_asked(server, ASKED, max_tokens=64, tools=[WEATHER, CLOCK], tool_choice="auto")
        )
    message = answer.choices[0].message
    for call in message.tool_calls or ():
        _arguments(call, "get_weather", "get_time")
    assert (answer.choices[0].finish_reason == "tool_calls") == bool(message.tool_calls)
    assert message.content or message.tool_calls
    return {"called": bool(message.tool_calls)}


def tools_required(server):
    with _client(server) as client:
        answer = client.chat.completions.create(
            **_asked(server, ASKED, max_tokens=96, tools=[WEATHER, CLOCK], tool_choice="required")
        )
    assert answer.choices[0].finish_reason == "tool_calls"
    assert not answer.choices[0].message.content
    for call in answer.choices[0].message.tool_calls:
        _arguments(call, "get_weather", "get_time")


async def tools_required_async(server):
    async with _async_client(server) as client:
        answer = await client.chat.completions.create(
            **_asked(server, ASKED, max_tokens=96, tools=[WEATHER], tool_choice="required")
        )
    for call in answer.choices[0].message.tool_calls:
        _arguments(call, "get_weather")


def tools_named(server):
    with _client(server) as client:
        answer = client.chat.completions.create(
            **_asked(server, ASKED, max_tokens=96, tools=[WEATHER, CLOCK], tool_choice=NAMED)
        )
    (call,) = answer.choices[0].message.tool_calls
    _arguments(call, "get_time")
    return {"finish_reason": answer.choices[0].finish_reason}


def tools_strict_not_parallel(server):
    with _client(server) as client:
        answer = client.chat.completions.create(
            **_asked(server, ASKED, max_tokens=96, tools=[STRICT], tool_choice="required"),
            parallel_tool_calls=False,
        )
    (call,) = answer.choices[0].message.tool_calls
    _arguments(call, "get_weather")


def tools_streamed(server):
    asked = _asked(server, ASKED, max_tokens=96, tools=[WEATHER, CLOCK], tool_choice="required")
    with _client(server) as client:
        calls, reason = _gathered(client.chat.completions.create(**asked, stream=True))
    assert reason == "tool_calls"
    for name, identity, text in calls:
        assert identity
        assert name in {"get_weather", "get_time"}
        assert json.loads(text)["city"]


def _gathered(stream):
    """The calls of a stream, as a plain loop puts them together, and the reason."""
    calls, reason = [], None
    for chunk in stream:
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            for delta in choice.delta.tool_calls or ():
                if delta.index == len(calls):
                    calls.append([delta.function.name, delta.id, ""])
                calls[delta.index][2] += delta.function.arguments or ""
    return calls, reason


def tools_stream_events(server):
    tool = openai.pydantic_function_tool(City)
    asked = _asked(server, CITY, max_tokens=160, tools=[tool], tool_choice="required")
    with _client(server) as client, client.chat.completions.stream(**asked) as stream:
        kinds = {event.type for event in stream}
        (call, *_) = stream.get_final_completion().choices[0].message.tool_calls
    assert "tool_calls.function.arguments.done" in kinds
    assert isinstance(call.function.parsed_arguments, City)


def tools_parsed(server):
    tool = openai.pydantic_function_tool(City)
    with _client(server) as client:
        answer = client.chat.completions.parse(
            **_asked(server, CITY, max_tokens=160, tools=[tool], tool_choice="required")
        )
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, City)


def second_turn_of_tools(server):
    asked = {"max_tokens": 96, "tools": [WEATHER]}
    with _client(server) as client:
        first = client.chat.completions.create(
            **_asked(server, ASKED, **asked, tool_choice="required")
        )
        message = first.choices[0].message
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 17}'}
            for call in message.tool_calls
        ]
        told = [*ASKED, message.model_dump(), *results]
        second = client.chat.completions.create(**_asked(server, told, **asked, tool_choice="none"))
    assert second.choices[0].message.content


def second_turn_without_nulls(server):
    asked = {"max_tokens": 96, "tools": [WEATHER], "parallel_tool_calls": False}
    with _client(server) as client:
        first = client.chat.completions.create(
            **_asked(server, ASKED, **asked, tool_choice="required")
        )
        message = first.choices[0].message
        (call,) = message.tool_calls
        result = {"role": "tool", "tool_call_id": call.id, "content": "17"}
        told = [*ASKED, message.model_dump(exclude_none=True), result]
        second = client.chat.completions.create(**_asked(server, told, **asked))
    assert second.choices[0].finish_reason in {"stop", "length", "tool_calls"}
