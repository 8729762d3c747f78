"""openai-agents, through its chat-completions model."""

from __future__ import annotations

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(True)
ASKED = "What is the weather in Paris?"


class City(BaseModel):
    name: str
    country: str


@function_tool
def _get_weather(city: str) -> str:
    """The weather in a city right now."""
    return f"17 degrees and sunny in {city}"


def _agent(server, **more):
    client = AsyncOpenAI(base_url=server.url, api_key="unused")
    settings = {"temperature": 0, "max_tokens": 128} | more.pop("settings", {})
    return Agent(
        name="helper",
        instructions="Be short.",
        model=OpenAIChatCompletionsModel(model=server.model, openai_client=client),
        model_settings=ModelSettings(**settings),
        **more,
    )


def _kinds(told):
    return [item.type for item in told.new_items]


async def run(server):
    assert (await Runner.run(_agent(server), "Say hello.")).final_output


def run_sync(server):
    assert Runner.run_sync(_agent(server), "Say hello.").final_output


async def run_streamed(server):
    told = Runner.run_streamed(_agent(server), "Say hello.")
    kinds = {event.type async for event in told.stream_events()}
    assert "raw_response_event" in kinds
    assert told.final_output


async def second_turn(server):
    agent = _agent(server)
    first = await Runner.run(agent, "Say hello.")
    told = [*first.to_input_list(), {"role": "user", "content": "Say it again."}]
    assert (await Runner.run(agent, told)).final_output


async def tools_auto(server):
    told = await Runner.run(_agent(server, tools=[_get_weather]), ASKED)
    assert told.final_output
    return {"called": "tool_call_item" in _kinds(told)}


async def tools_required(server):
    agent = _agent(server, tools=[_get_weather], settings={"tool_choice": "required"})
    told = await Runner.run(agent, ASKED, max_turns=6)
    assert {"tool_call_item", "tool_call_output_item"} <= set(_kinds(told))
    assert told.final_output


async def tools_required_streamed(server):
    agent = _agent(server, tools=[_get_weather], settings={"tool_choice": "required"})
    told = Runner.run_streamed(agent, ASKED, max_turns=6)
    names = {event.name async for event in told.stream_events() if hasattr(event, "name")}
    assert {"tool_called", "tool_output"} <= names
    assert told.final_output


async def tools_named_not_parallel(server):
    settings = {"tool_choice": "_get_weather", "parallel_tool_calls": False}
    agent = _agent(
        server, tools=[_get_weather], settings=settings, tool_use_behavior="stop_on_first_tool"
    )
    told = await Runner.run(agent, ASKED)
    assert "17 degrees" in told.final_output


async def output_type(server):
    told = await Runner.run(_agent(server, output_type=City), "Describe the city of Paris.")
    assert isinstance(told.final_output, City)


async def output_type_streamed(server):
    told = Runner.run_streamed(_agent(server, output_type=City), "Describe the city of Paris.")
    async for _event in told.stream_events():
        pass
    assert isinstance(told.final_output, City)
