"""How to reason: many names, one meaning; and those that differ are told so."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.api.openai.chat import ChatCompletions
from serve.errors import InvalidRequest
from serve.pipeline.events import ChatPrompt, Generation, ReasoningUse
from tests.serve.api.house import chat

ON = {"enable_thinking": True, "thinking": True}
OFF = {"enable_thinking": False, "thinking": False}


def generation(**fields: Any) -> Generation:
    return ChatCompletions().parse(chat(**fields)).generation()


def options(**fields: Any) -> dict[str, Any]:
    (prompt,) = generation(**fields).prompts
    assert isinstance(prompt, ChatPrompt)
    return dict(prompt.options)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"reasoning_effort": None, "reasoning": {}, "thinking": {}, "think": ""}, {}),
        ({"reasoning_effort": "none"}, OFF),
        ({"reasoning_effort": "high"}, {**ON, "reasoning_effort": "high"}),
        ({"reasoning": {"effort": "low"}}, {**ON, "reasoning_effort": "low"}),
        ({"reasoning": {"effort": "none"}}, OFF),
        ({"reasoning": {"enabled": True}}, ON),
        ({"reasoning": False}, OFF),
        ({"reasoning": {"exclude": True}}, {}),
        ({"enable_thinking": True}, ON),
        ({"enable_thinking": False}, OFF),
        ({"thinking": True}, ON),
        ({"thinking": {"type": "enabled", "budget_tokens": 99}}, ON),
        ({"thinking": {"type": "disabled"}}, OFF),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"think": False}, OFF),
        ({"think": "medium"}, {**ON, "reasoning_effort": "medium"}),
        ({"enable_thinking": True, "reasoning_effort": "low"}, {**ON, "reasoning_effort": "low"}),
        ({"enable_thinking": False, "reasoning_effort": "none", "think": False}, OFF),
    ],
)
def test_all_names_come_to_the_same_variables(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert options(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ReasoningUse()),
        ({"include_reasoning": True}, ReasoningUse()),
        ({"include_reasoning": False}, ReasoningUse(is_shown=False)),
        ({"reasoning": {"exclude": True}}, ReasoningUse(is_shown=False)),
        ({"thinking_token_budget": 0}, ReasoningUse(max_tokens=0)),
        ({"thinking_token_budget": 64.0}, ReasoningUse(max_tokens=64)),
        ({"thinking_token_budget": -1}, ReasoningUse()),
        ({"reasoning": {"max_tokens": 64.0}}, ReasoningUse(max_tokens=64)),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, ReasoningUse(max_tokens=9)),
        (
            {"thinking_token_budget": 9, "reasoning": {"max_tokens": 9, "exclude": False}},
            ReasoningUse(max_tokens=9),
        ),
    ],
)
def test_bounds_of_the_reasoning(fields: dict[str, Any], expected: ReasoningUse) -> None:
    assert generation(**fields).reasoning == expected


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"reasoning_effort": "huge"}, "reasoning_effort", 'must be "none", "minimal"'),
        ({"reasoning_effort": 1}, "reasoning_effort", "not 1"),
        ({"reasoning": "high"}, "reasoning", "must be an object"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", 'must be one of "none"'),
        ({"reasoning": {"enabled": 1}}, "reasoning.enabled", "must be true or false"),
        ({"reasoning": {"max_tokens": -1}}, "reasoning.max_tokens", "at least 0, not -1"),
        ({"reasoning": {"max_tokens": 1.5}}, "reasoning.max_tokens", "not 1.5"),
        ({"reasoning": {"efort": "low"}}, "reasoning.efort", "Did you mean effort"),
        ({"thinking": "yes"}, "thinking", "must be an object"),
        ({"thinking": {"type": "on"}}, "thinking.type", 'must be one of "enabled"'),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type", "not null"),
        ({"think": 1}, "think", "must be one of"),
        ({"enable_thinking": "false"}, "enable_thinking", "true or false"),
        ({"thinking_token_budget": -2}, "thinking_token_budget", "at least -1"),
        (
            {"reasoning_effort": "low", "enable_thinking": False},
            "enable_thinking",
            "reasoning_effort and enable_thinking say different things",
        ),
        ({"think": "low", "reasoning_effort": "high"}, "think", "say different things"),
        (
            {"include_reasoning": True, "reasoning": {"exclude": True}},
            "include_reasoning",
            "reasoning.exclude and include_reasoning",
        ),
        (
            {"thinking_token_budget": 5, "reasoning": {"max_tokens": 6}},
            "thinking_token_budget",
            "say different things",
        ),
    ],
)
def test_what_is_misshapen_or_differs_is_refused_by_its_name(
    fields: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        generation(**fields)
    assert refused.value.param == param


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["low", "enabled"]),
    lambda inner: st.dictionaries(
        st.sampled_from(["type", "effort", "max_tokens", "enabled", "exclude", "budget_tokens"]),
        inner,
    ),
    max_leaves=6,
)
NAMES = ("reasoning_effort", "reasoning", "enable_thinking", "thinking", "think")


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_whatever_is_sent_is_understood_or_refused(fields: dict[str, Any]) -> None:
    with suppress(InvalidRequest):
        assert set(options(**fields)) <= {"enable_thinking", "thinking", "reasoning_effort"}
