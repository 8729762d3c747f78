"""litellm, by its providers `openai/` and `hosted_vllm/`."""

from __future__ import annotations

import json

import litellm
from pydantic import BaseModel


class City(BaseModel):
    name: str
    country: str


HELLO = [{"role": "user", "content": "Say hello."}]
CITY = [
    {
        "role": "user",
        "content": "Say where Paris is. Answer only with one line of JSON, as "
        '{"name": "Rome", "country": "Italy"}, and with nothing else.',
    }
]
ASKED = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city right now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PROVIDERS = ("openai", "hosted_vllm")


def _asked(server, provider, messages=HELLO, **more):
    asked = {"model": f"{provider}/{server.model}", "api_base": server.url, "api_key": "unused"}
    asked |= {"messages": messages, "max_tokens": 24, "temperature": 0, "num_retries": 0}
    return asked | more


def _completion(server, provider):
    answer = litellm.completion(**_asked(server, provider))
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens > 0


async def _acompletion(server, provider):
    assert (await litellm.acompletion(**_asked(server, provider))).choices[0].message.content


def _stream(server, provider):
    chunks = list(
        litellm.completion(
            **_asked(server, provider, stream=True, stream_options={"include_usage": True})
        )
    )
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.content
    assert whole.usage.completion_tokens > 0


async def _astream(server, provider):
    stream = await litellm.acompletion(**_asked(server, provider, stream=True))
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def _tools(server, provider, **more):
    asked = _asked(server, provider, ASKED, max_tokens=96, tools=[WEATHER], **more)
    return litellm.completion(**asked)


def _tools_required(server, provider):
    answer = _tools(server, provider, tool_choice="required")
    assert answer.choices[0].finish_reason == "tool_calls"
    for call in answer.choices[0].message.tool_calls:
        assert json.loads(call.function.arguments)["city"]


def _tools_streamed(server, provider):
    chunks = list(_tools(server, provider, tool_choice="required", stream=True))
    for call in litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls:
        assert json.loads(call.function.arguments)["city"]


def _tools_round(server, provider):
    message = _tools(server, provider, tool_choice="required").choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": "17"}
        for call in message.tool_calls
    ]
    told = [*ASKED, message.model_dump(), *results]
    second = litellm.completion(**_asked(server, provider, told, tools=[WEATHER]))
    assert second.choices[0].message.content or second.choices[0].message.tool_calls


def _response_format(server, provider, **more):
    answer = litellm.completion(**_asked(server, provider, CITY, max_tokens=200, **more))
    return answer.choices[0].message.content


def completion_openai(server):
    _completion(server, "openai")


def completion_hosted_vllm(server):
    _completion(server, "hosted_vllm")


async def acompletion_openai(server):
    await _acompletion(server, "openai")


async def acompletion_hosted_vllm(server):
    await _acompletion(server, "hosted_vllm")


def stream_openai(server):
    _stream(server, "openai")


def stream_hosted_vllm(server):
    _stream(server, "hosted_vllm")


async def astream_openai(server):
    await _astream(server, "openai")


async def astream_hosted_vllm(server):
    await _astream(server, "hosted_vllm")


def tools_auto_openai(server):
    message = _tools(server, "openai").choices[0].message
    assert message.content or message.tool_calls
    return {"called": bool(message.tool_calls)}


def tools_auto_hosted_vllm(server):
    message = _tools(server, "hosted_vllm").choices[0].message
    assert message.content or message.tool_calls


def tools_required_openai(server):
    _tools_required(server, "openai")


def tools_required_hosted_vllm(server):
    _tools_required(server, "hosted_vllm")


def tools_streamed_openai(server):
    _tools_streamed(server, "openai")


def tools_streamed_hosted_vllm(server):
    _tools_streamed(server, "hosted_vllm")


def tools_round_openai(server):
    _tools_round(server, "openai")


def tools_round_hosted_vllm(server):
    _tools_round(server, "hosted_vllm")


def response_format_of_a_type_openai(server):
    City.model_validate_json(_response_format(server, "openai", response_format=City))


def response_format_of_a_type_hosted_vllm(server):
    City.model_validate_json(_response_format(server, "hosted_vllm", response_format=City))


def response_format_json_object_openai(server):
    json.loads(_response_format(server, "openai", response_format={"type": "json_object"}))


def response_format_json_object_hosted_vllm(server):
    json.loads(_response_format(server, "hosted_vllm", response_format={"type": "json_object"}))


def text_completion_openai(server):
    answer = litellm.text_completion(
        model=f"text-completion-openai/{server.model}",
        api_base=server.url,
        api_key="unused",
        prompt="1, 2, 3,",
        max_tokens=4,
    )
    assert answer.choices[0].text


def text_completion_hosted_vllm(server):
    answer = litellm.text_completion(
        model=f"hosted_vllm/{server.model}",
        api_base=server.url,
        api_key="unused",
        prompt="1, 2, 3,",
        max_tokens=4,
    )
    assert answer.choices[0].text
