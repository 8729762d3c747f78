"""Tools: what the prompt tells of, what may be called, and the older names."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.api.openai.chat import ChatCompletions
from serve.errors import InvalidRequest
from serve.pipeline.events import CallableTool, ChatPrompt, Generation, ToolUse
from tests.serve.api.house import chat

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "parameters": PARAMETERS}
TIME = {"name": "time", "description": "Now."}
TOOLS: list[dict[str, Any]] = [{"type": "function", "function": one} for one in (WEATHER, TIME)]
MAY_BE_CALLED = (
    CallableTool(name="weather", parameters=PARAMETERS),
    CallableTool(name="time"),
)
NAMED = {"type": "function", "function": {"name": "time"}}


def generation(**fields: Any) -> Generation:
    return ChatCompletions().parse(chat(**fields)).generation()


def told(asked: Generation) -> list[str]:
    """Names of the tools that the prompt tells of."""
    (prompt,) = asked.prompts
    assert isinstance(prompt, ChatPrompt)
    return [tool["function"]["name"] for tool in prompt.tools]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ToolUse(tools=MAY_BE_CALLED)),
        ({"tool_choice": "auto"}, ToolUse(tools=MAY_BE_CALLED)),
        ({"parallel_tool_calls": True}, ToolUse(tools=MAY_BE_CALLED)),
        ({"parallel_tool_calls": False}, ToolUse(tools=MAY_BE_CALLED, is_parallel=False)),
        ({"tool_choice": "required"}, ToolUse(tools=MAY_BE_CALLED, is_required=True)),
        ({"tool_choice": "any"}, ToolUse(tools=MAY_BE_CALLED, is_required=True)),
        (
            {"tool_choice": NAMED},
            ToolUse(tools=MAY_BE_CALLED[1:], is_required=True, is_parallel=False),
        ),
        (
            {"tool_choice": NAMED, "parallel_tool_calls": True},
            ToolUse(tools=MAY_BE_CALLED[1:], is_required=True),
        ),
        (
            {"tool_choice": {"type": "function", "name": "time"}},
            ToolUse(tools=MAY_BE_CALLED[1:], is_required=True, is_parallel=False),
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [NAMED]},
                }
            },
            ToolUse(tools=MAY_BE_CALLED[1:], is_required=True),
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [NAMED]}},
            ToolUse(tools=MAY_BE_CALLED[1:]),
        ),
    ],
)
def test_a_choice_says_what_may_be_called_and_hides_nothing(
    fields: dict[str, Any], expected: ToolUse
) -> None:
    asked = generation(tools=TOOLS, **fields)
    assert asked.tool_use == expected
    assert told(asked) == ["weather", "time"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": []},
        {"tools": TOOLS, "tool_choice": "none"},
        {"tool_choice": "auto"},
        {"functions": [WEATHER], "function_call": "none"},
        {"parallel_tool_calls": False},
    ],
)
def test_without_tools_there_is_no_use_of_them(fields: dict[str, Any]) -> None:
    asked = generation(**fields)
    assert asked.tool_use is None
    assert told(asked) == []


def test_a_strict_tool_is_one_that_is_held_to_its_schema() -> None:
    strict = {"type": "function", "function": {**WEATHER, "strict": True}}
    use = generation(tools=[strict, TOOLS[1]]).tool_use
    assert use is not None
    assert [tool.is_strict for tool in use.tools] == [True, False]


def test_a_format_may_stand_beside_tools() -> None:
    asked = generation(tools=TOOLS, response_format={"type": "json_object"})
    assert asked.tool_use is not None
    assert asked.format is not None


@pytest.mark.parametrize(
    ("function_call", "expected"),
    [
        (None, ToolUse(tools=MAY_BE_CALLED, is_parallel=False)),
        ("auto", ToolUse(tools=MAY_BE_CALLED, is_parallel=False)),
        (
            {"name": "time"},
            ToolUse(tools=MAY_BE_CALLED[1:], is_required=True, is_parallel=False),
        ),
    ],
)
def test_functions_are_tools_of_which_one_is_called(function_call: Any, expected: ToolUse) -> None:
    asked = generation(
        functions=[WEATHER, TIME], function_call=function_call, parallel_tool_calls=True
    )
    assert asked.tool_use == expected
    (prompt,) = generation(tools=TOOLS).prompts
    assert asked.prompts == (prompt,)


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"tools": [TOOLS[0], *TOOLS]}, "tools[1].function.name", r"as tools\[0\].function.name"),
        ({"functions": [TIME, TIME]}, "functions[1].name", "functions.1..name is time"),
        ({"tools": TOOLS, "functions": [TIME]}, "functions", "older name of tools"),
        ({"tools": TOOLS, "function_call": {"name": "time"}}, "function_call", "send tool_choice"),
        ({"functions": [TIME], "tool_choice": "required"}, "tool_choice", "send function_call"),
        ({"tool_choice": "required"}, "tool_choice", "there are no tools"),
        ({"tools": [], "tool_choice": NAMED}, "tool_choice", "there are no tools"),
        ({"function_call": {"name": "f"}}, "function_call", "does not go with tools"),
    ],
)
def test_what_does_not_go_together_is_refused(
    fields: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        generation(**fields)
    assert refused.value.param == param


VALUES = st.recursive(
    st.sampled_from([None, True, 1, "auto", "required", "function", "allowed_tools", "time", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "function", "name", "mode", "tools", "allowed_tools"]), inner
        )
    ),
    max_leaves=9,
)


@given(VALUES, st.sampled_from([TOOLS, None, []]), VALUES)
def test_whatever_choice_is_sent_is_understood_or_refused(
    choice: Any, tools: Any, older: Any
) -> None:
    with suppress(InvalidRequest):
        asked = generation(tools=tools, tool_choice=choice, function_call=older)
        assert asked.tool_use is None or asked.tool_use.tools


@pytest.mark.parametrize("kind", ["string", "array", ["null", "integer"]])
def test_arguments_are_an_object(kind: Any) -> None:
    function = {"name": "time", "parameters": {"type": kind}}
    with pytest.raises(InvalidRequest, match='must be "object"') as refused:
        generation(tools=[{"type": "function", "function": function}])
    assert refused.value.param == "tools[0].function.parameters.type"
    with pytest.raises(InvalidRequest, match='must be "object"') as refused:
        generation(functions=[function])
    assert refused.value.param == "functions[0].parameters.type"
    for other in ("object", ["object", "null"], [], None, "OBJECT"):
        function = {"name": "time", "parameters": {"type": other}}
        assert generation(tools=[{"type": "function", "function": function}]).tool_use
