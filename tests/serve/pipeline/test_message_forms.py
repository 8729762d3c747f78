"""Forms of a conversation: a template gets the one that it takes."""

from __future__ import annotations

from typing import Any

import pytest

from serve.pipeline.message_forms import variants, with_empty_contents, with_thoughts
from serve.pipeline.template import ChatTemplate

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {}}}
CALLED: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
THOUGHT: dict[str, Any] = {"role": "assistant", "content": "4", "reasoning_content": "y"}
USER: dict[str, Any] = {"role": "user", "content": "x"}

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
KNOWS_NULL = "{% if m.content is none %}null{% else %}{{ m.content }}{% endif %}"


def rendered(source: str, *messages: dict[str, Any]) -> str:
    return ChatTemplate(source, {}).render(messages, ())


def test_the_first_form_is_what_was_said() -> None:
    messages = [USER, CALLED, THOUGHT]
    (first, tools), *others = variants(messages, ())
    assert first is messages
    assert tools == ()
    assert any(form[1]["content"] == "" for form, _ in others)
    assert any("reasoning_content" not in form[2] for form, _ in others)
    assert list(variants([USER], ())) == [([USER], ())]


def test_only_null_contents_become_empty_ones() -> None:
    assert with_empty_contents([USER, CALLED])[1] == {**CALLED, "content": ""}
    messages = [USER, {"role": "assistant"}]
    assert with_empty_contents(messages) is messages


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for m in messages %}{{ m.content }};{% endfor %}", "x;;"),
        ("{% for m in messages %}{{ m.content + ';' }}{% endfor %}", "x;;"),
        ("{% for m in messages %}{{ m.content is none }};{% endfor %}", "False;True;"),
        (
            "{% for m in messages %}" + KNOWS_NULL + ";{% endfor %}",
            "x;null;",
        ),
    ],
)
def test_null_is_said_to_templates_that_know_it_and_never_written(
    source: str, expected: str
) -> None:
    assert rendered(source, USER, CALLED) == expected


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_read_under_any_of_its_names(name: str) -> None:
    source = "{% for m in messages %}{{ m." + name + " or '' }}{{ m.content }};{% endfor %}"
    assert rendered(source, USER, THOUGHT) == "x;y4;"


def test_reasoning_is_left_out_where_a_template_refuses_it() -> None:
    source = (
        "{% for m in messages %}{% if m.thinking and m.content %}{{ raise_exception('both') }}"
        "{% endif %}{{ m.content }};{% endfor %}"
    )
    assert rendered(source, USER, THOUGHT) == "x;4;"


def test_messages_without_reasoning_stay_the_same() -> None:
    messages = [USER, CALLED]
    assert with_thoughts(messages, ["reasoning", "thinking"]) is messages
    assert with_thoughts([THOUGHT], ["reasoning_content"]) == [THOUGHT]
    assert with_thoughts([THOUGHT], ["thinking"]) == [{**THOUGHT, "thinking": "y"}]


def test_tools_are_filled_where_a_template_insists() -> None:
    bare = {"type": "function", "function": {"name": "f"}}
    whole = {
        "type": "function",
        "function": {"name": "f", "description": "", "parameters": EMPTY},
    }
    assert [tools for _, tools in variants([USER], [bare])] == [[bare], [whole]]
    assert [tools for _, tools in variants([USER], [whole])] == [[whole]]
    source = (
        "{% for t in tools or [] %}{{ t.function.parameters.properties | length }};{% endfor %}"
    )
    assert ChatTemplate(source, {}).render([USER], [bare]) == "0;"


def test_null_is_found_beside_arguments_that_are_text() -> None:
    source = (
        "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ ':' + c.function.arguments }}{% endfor %};{% endfor %}"
    )
    assert ChatTemplate(source, {}).writes_null
