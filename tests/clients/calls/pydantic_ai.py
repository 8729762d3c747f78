"""pydantic-ai: agents with text, tools, and output types by three ways."""

from __future__ import annotations

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class City(BaseModel):
    """A city of the world."""

    name: str
    country: str


DESCRIBE = "Describe the city of Paris."


def _agent(server, **more):
    model = OpenAIChatModel(
        server.model, provider=OpenAIProvider(base_url=server.url, api_key="unused")
    )
    settings = {"temperature": 0, "max_tokens": 200}
    return Agent(model, **{"model_settings": settings, "retries": 2} | more)


async def run(server):
    told = await _agent(server).run("Say hello.")
    assert told.output
    assert told.usage.output_tokens > 0


def run_sync(server):
    assert _agent(server).run_sync("Say hello.").output


async def run_stream(server):
    async with _agent(server).run_stream("Say hello.") as told:
        parts = [part async for part in told.stream_text(delta=True)]
    assert "".join(parts)


async def message_history(server):
    agent = _agent(server)
    first = await agent.run("Say hello.")
    second = await agent.run("Say it again.", message_history=first.all_messages())
    assert second.output
    assert len(second.all_messages()) > len(first.all_messages())


async def tools(server):
    """By `auto`: the model may call, and answers with text in the end."""
    called = []
    agent = _agent(server, instructions="Use the tools.")

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city right now."""
        called.append(city)
        return "17 degrees and sunny"

    told = await agent.run("What is the weather in Paris?")
    assert told.output
    return {"called": len(called)}


async def tools_streamed(server):
    agent = _agent(server, instructions="Use the tools.")

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city right now."""
        return "17 degrees and sunny"

    async with agent.run_stream("What is the weather in Paris?") as told:
        assert await told.get_output()


async def tools_and_history(server):
    """A call made before, whose result stands in the history of what is asked now."""
    agent = _agent(server, output_type=ToolOutput(City))
    first = await agent.run(DESCRIBE)
    second = await agent.run("And Rome?", message_history=first.all_messages())
    assert isinstance(second.output, City)


async def output_by_tool(server):
    told = await _agent(server, output_type=ToolOutput(City)).run(DESCRIBE)
    assert isinstance(told.output, City)


async def output_by_tool_streamed(server):
    async with _agent(server, output_type=City).run_stream(DESCRIBE) as told:
        assert isinstance(await told.get_output(), City)


async def output_native(server):
    told = await _agent(server, output_type=NativeOutput(City)).run(DESCRIBE)
    assert isinstance(told.output, City)


async def output_native_streamed(server):
    async with _agent(server, output_type=NativeOutput(City)).run_stream(DESCRIBE) as told:
        assert isinstance(await told.get_output(), City)


async def output_prompted(server):
    told = await _agent(server, output_type=PromptedOutput(City)).run(DESCRIBE)
    assert isinstance(told.output, City)


async def output_of_several_types(server):
    told = await _agent(server, output_type=[City, bool]).run(DESCRIBE)
    assert isinstance(told.output, City | bool)
