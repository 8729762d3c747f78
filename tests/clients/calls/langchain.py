"""langchain-openai: chats, tools, structured output by three methods, and completions."""

from __future__ import annotations

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel

ASKED = "What is the weather in Paris, in celsius?"
CITY = 'Describe the city of Paris as a JSON object with the keys "name" and "country", both text.'


class City(BaseModel):
    """A city of the world."""

    name: str
    country: str


@tool
def get_weather(city: str, unit: str) -> str:
    """The weather in a city right now."""
    return f"17 degrees {unit} in {city}"


@tool
def get_time(city: str) -> str:
    """The time in a city."""
    return f"noon in {city}"


TOOLS = [get_weather, get_time]


def _chat(server, **more):
    return ChatOpenAI(
        **{"model": server.model, "base_url": server.url, "api_key": "unused", "temperature": 0}
        | {"max_tokens": 24}
        | more
    )


def _calls(message, *names):
    assert message.tool_calls
    assert not message.invalid_tool_calls
    for call in message.tool_calls:
        assert call["name"] in names
        assert call["id"]
        assert isinstance(call["args"]["city"], str)
    return message.tool_calls


def invoke(server):
    answer = _chat(server).invoke("Say hello.")
    assert answer.content
    assert answer.usage_metadata["output_tokens"] > 0


async def ainvoke(server):
    assert (await _chat(server).ainvoke("Say hello.")).content


def stream(server):
    chunks = list(_chat(server, stream_usage=True).stream("Say hello."))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.content
    assert whole.usage_metadata["output_tokens"] > 0


async def astream(server):
    assert "".join([chunk.content async for chunk in _chat(server).astream("Say hello.")])


def batch(server):
    answers = _chat(server, max_tokens=6).batch([f"What is {n} + 1?" for n in range(5)])
    assert len(answers) == 5
    assert all(answer.content for answer in answers)


async def abatch(server):
    answers = await _chat(server, max_tokens=6).abatch(["Say hello.", "Say goodbye."])
    assert all(answer.content for answer in answers)


def several_generations(server):
    told = _chat(server, n=2, max_tokens=6, temperature=1).generate([[HumanMessage("Say hello.")]])
    assert len(told.generations[0]) == 2


def logprobs(server):
    answer = _chat(server, logprobs=True, top_logprobs=2, max_tokens=4).invoke("Say hello.")
    assert answer.response_metadata["logprobs"]["content"]


def bind_tools_auto(server):
    answer = _chat(server, max_tokens=64).bind_tools(TOOLS).invoke(ASKED)
    assert answer.content or answer.tool_calls
    assert not answer.invalid_tool_calls
    return {"called": bool(answer.tool_calls)}


def bind_tools_any(server):
    answer = _chat(server, max_tokens=96).bind_tools(TOOLS, tool_choice="any").invoke(ASKED)
    _calls(answer, "get_weather", "get_time")


def bind_tools_named(server):
    answer = _chat(server, max_tokens=96).bind_tools(TOOLS, tool_choice="get_time").invoke(ASKED)
    _calls(answer, "get_time")


def bind_tools_strict(server):
    bound = _chat(server, max_tokens=96).bind_tools(TOOLS, tool_choice="any", strict=True)
    _calls(bound.invoke(ASKED), "get_weather", "get_time")


def bind_tools_streamed(server):
    bound = _chat(server, max_tokens=96).bind_tools(TOOLS, tool_choice="any")
    chunks = list(bound.stream(ASKED))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    _calls(whole, "get_weather", "get_time")


def tool_message_round(server):
    chat = _chat(server, max_tokens=96)
    asked = HumanMessage(ASKED)
    first = chat.bind_tools([get_weather], tool_choice="any").invoke([asked])
    results = [get_weather.invoke(call) for call in first.tool_calls]
    assert all(isinstance(result, ToolMessage) for result in results)
    second = chat.bind_tools([get_weather]).invoke([asked, first, *results])
    assert second.content or second.tool_calls


def tool_message_by_hand(server):
    call = {"name": "get_weather", "args": {"city": "Paris", "unit": "celsius"}, "id": "call_1"}
    history = [
        HumanMessage(ASKED),
        AIMessage("", tool_calls=[call]),
        ToolMessage("17", tool_call_id="call_1"),
    ]
    assert _chat(server).invoke(history).content


def _structured(server, method, **more):
    chat = _chat(server, max_tokens=200).with_structured_output(City, method=method, **more)
    return chat.invoke(CITY)


def structured_by_function_calling(server):
    assert isinstance(_structured(server, "function_calling"), City)


def structured_by_function_calling_strict(server):
    assert isinstance(_structured(server, "function_calling", strict=True), City)


def structured_by_json_mode(server):
    assert isinstance(_structured(server, "json_mode"), City)


def structured_by_json_schema(server):
    assert isinstance(_structured(server, "json_schema"), City)


def structured_by_json_schema_strict(server):
    told = _structured(server, "json_schema", strict=True, include_raw=True)
    assert isinstance(told["parsed"], City)
    assert told["parsing_error"] is None


def structured_of_a_dict(server):
    schema = {**City.model_json_schema(), "title": "City", "description": "A city."}
    chat = _chat(server, max_tokens=200).with_structured_output(schema, method="json_schema")
    City.model_validate(chat.invoke(CITY))


def structured_streamed(server):
    chat = _chat(server, max_tokens=200).with_structured_output(City, method="json_schema")
    assert isinstance(list(chat.stream(CITY))[-1], City)


def _completion(server, **more):
    return OpenAI(
        **{"model": server.model, "base_url": server.url, "api_key": "unused", "temperature": 0}
        | {"max_tokens": 4}
        | more
    )


def completion_invoke(server):
    assert _completion(server).invoke("1, 2, 3,")


def completion_stream(server):
    assert "".join(_completion(server).stream("1, 2, 3,"))


def completion_batch_of_twenty(server):
    answers = _completion(server).batch([f"{n}, {n + 1}, {n + 2}," for n in range(20)])
    assert len(answers) == 20
    assert all(answers)
