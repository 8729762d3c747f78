"""smolagents: one step of an agent with a tool, and one structured answer."""

from __future__ import annotations

import json

from smolagents import CodeAgent, LogLevel, OpenAIModel, ToolCallingAgent, tool

CITY_FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "City",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "country": {"type": "string"}},
            "required": ["name", "country"],
            "additionalProperties": False,
        },
    },
}


@tool
def _get_weather(city: str) -> str:
    """The weather in a city right now.

    Args:
        city: its name.
    """
    return f"17 degrees and sunny in {city}"


def _model(server, **more):
    return OpenAIModel(
        **{"model_id": server.model, "api_base": server.url, "api_key": "unused"}
        | {"temperature": 0, "max_tokens": 200}
        | more
    )


def _asked(text):
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


def generate(server):
    assert _model(server).generate(_asked("Say hello.")).content


def generate_stream(server):
    parts = [delta.content or "" for delta in _model(server).generate_stream(_asked("Say hello."))]
    assert "".join(parts)


def structured_answer(server):
    answer = _model(server).generate(
        _asked("Describe the city of Paris."), response_format=CITY_FORMAT
    )
    assert json.loads(answer.content).keys() == {"name", "country"}


def tool_calling_agent(server):
    """One step: a call of one of the tools, run by the agent."""
    agent = ToolCallingAgent(
        tools=[_get_weather], model=_model(server), max_steps=1, verbosity_level=LogLevel.OFF
    )
    agent.run("What is the weather in Paris?")
    steps = [step for step in agent.memory.steps if hasattr(step, "tool_calls")]
    assert steps[0].tool_calls
    assert {call.name for call in steps[0].tool_calls} <= {"_get_weather", "final_answer"}


def tool_calling_agent_streamed(server):
    agent = ToolCallingAgent(
        tools=[_get_weather],
        model=_model(server),
        max_steps=1,
        verbosity_level=LogLevel.OFF,
        stream_outputs=True,
    )
    list(agent.run("What is the weather in Paris?", stream=True))
    steps = [step for step in agent.memory.steps if hasattr(step, "tool_calls")]
    assert steps[0].tool_calls


def code_agent_with_structured_steps(server):
    """It asks for its thought and its code by a schema."""
    agent = CodeAgent(
        tools=[],
        model=_model(server),
        max_steps=1,
        verbosity_level=LogLevel.OFF,
        use_structured_outputs_internally=True,
    )
    agent.run("Compute 17 + 25, and give the final answer.")
    (step, *_) = [step for step in agent.memory.steps if hasattr(step, "model_output")]
    assert json.loads(step.model_output).keys() >= {"thought", "code"}
