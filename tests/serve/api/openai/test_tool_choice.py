"""A choice among tools in all its shapes, and words for those that are none."""

from __future__ import annotations

from typing import Any

import pytest

from serve.api.openai.tool_choice import Choice, check_known, choice_of, older_choice_of
from serve.errors import InvalidRequest

ALLOWED = {"type": "allowed_tools"}
ONE = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("none", Choice(mode="none")),
        ("auto", Choice(mode="auto")),
        ("required", Choice(mode="required")),
        ("any", Choice(mode="required")),
        (ONE, Choice(mode="required", names=("f",), is_one=True)),
        ({"type": "function", "name": "f"}, Choice(mode="required", names=("f",), is_one=True)),
        ({**ALLOWED, "allowed_tools": {"tools": [ONE]}}, Choice(mode="auto", names=("f",))),
        (
            {**ALLOWED, "mode": "required", "tools": [ONE, {"type": "function", "name": "g"}]},
            Choice(mode="required", names=("f", "g")),
        ),
    ],
)
def test_shapes_of_a_choice(value: Any, expected: Choice) -> None:
    assert choice_of(value, "tool_choice") == expected


@pytest.mark.parametrize(
    ("value", "param", "message"),
    [
        ("requird", "tool_choice", 'not "requird"'),
        (5, "tool_choice", "not 5"),
        (True, "tool_choice", "not true"),
        ([], "tool_choice", "not an array"),
        ({"type": "tool"}, "tool_choice", 'not an object of type "tool"'),
        ({"type": ["function"]}, "tool_choice", "not an object"),
        ({"type": "function"}, "tool_choice.name", "is required"),
        ({"type": "function", "function": "f"}, "tool_choice.function", "must be an object"),
        ({"type": "function", "function": {}}, "tool_choice.function.name", "is required"),
        ({"type": "function", "function": {"name": 5}}, "tool_choice.function.name", "a string"),
        ({**ONE, "strict": True}, "tool_choice.strict", "is not a field"),
        ({**ALLOWED, "tools": []}, "tool_choice.tools", "at least 1 tool"),
        ({**ALLOWED, "allowed_tools": 5}, "tool_choice.allowed_tools", "must be an object"),
        ({**ALLOWED, "mode": "none", "tools": [ONE]}, "tool_choice.mode", '"auto" or "required"'),
        (
            {**ALLOWED, "allowed_tools": {"mode": "auto", "tools": [ONE, 5]}},
            "tool_choice.allowed_tools.tools[1]",
            "must be an object",
        ),
        (
            {**ALLOWED, "tools": [{"type": "mcp", "server_label": "x"}]},
            "tool_choice.tools[0].type",
            'must be "function"',
        ),
    ],
)
def test_what_is_no_choice_is_refused_by_its_name(value: Any, param: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        choice_of(value, "tool_choice")
    assert refused.value.param == param


def test_the_older_choice() -> None:
    named = Choice(mode="required", names=("f",), is_one=True)
    assert older_choice_of({"name": "f"}, "function_call") == named
    assert older_choice_of("none", "function_call") == Choice(mode="none")
    with pytest.raises(InvalidRequest, match='must be "none", "auto" or an object with a name'):
        older_choice_of("required", "function_call")
    with pytest.raises(InvalidRequest, match=r"function_call\.nam is not a field"):
        older_choice_of({"nam": "f"}, "function_call")


def test_a_tool_that_is_not_there_is_refused_with_those_that_are() -> None:
    names = [f"tool_{number}" for number in range(20)]
    check_known(choice_of({"type": "function", "name": "tool_7"}, "x"), names, "x")
    with pytest.raises(InvalidRequest, match=r"There are: f, g\. Did you") as refused:
        check_known(choice_of({"type": "function", "name": "ff"}, "x"), ["f", "g"], "x")
    assert refused.value.param == "x"
    with pytest.raises(InvalidRequest, match="tool_11 and 8 more"):
        check_known(choice_of(ONE, "x"), names, "x")
