"""Ids of tool calls in nine letters and digits, where a template takes no others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import InvalidRequest
from serve.pipeline import call_ids
from serve.pipeline.call_ids import in_nine_characters
from serve.pipeline.template import ChatTemplate

STRICT = (
    "{% for m in messages %}{% for c in m.tool_calls or [] %}"
    "{% if c.id is not defined or c.id | length != 9 %}"
    "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}"
    "{% endif %}call {{ c.id }};{% endfor %}"
    "{% if m.role == 'tool' %}{% if m.tool_call_id | length != 9 %}"
    "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}"
    "{% endif %}result {{ m.tool_call_id }};{% endif %}{% endfor %}"
)
LENIENT = "{% for m in messages %}{{ m.tool_call_id }}{% endfor %}"


def history(*ids: str) -> list[dict[str, Any]]:
    """Calls with these ids, and then their results."""
    calls = [{"id": one, "type": "function", "function": {"name": "f"}} for one in ids]
    results = [{"role": "tool", "tool_call_id": one, "content": "7"} for one in ids]
    return [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": calls}, *results]


def shown(template: str, messages: list[dict[str, Any]]) -> list[str]:
    return re.findall(r"(?:call|result) (.*?);", ChatTemplate(template, {}).render(messages, []))


@pytest.mark.parametrize(
    "one",
    ["call_abc123def456", "4b1c8a52-0d7f-4d5e-9f1a", "x", "", "a b c d e", "é" * 9],
)
def test_call_and_result_get_the_same_nine_characters(one: str) -> None:
    if len(one) == 9:
        one += "!"
    call, result = shown(STRICT, history(one))
    assert call == result
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", call)
    assert shown(STRICT, history(one)) == [call, result]


def test_later_turns_have_the_ids_of_earlier_ones() -> None:
    early = shown(STRICT, history("call_1"))
    assert shown(STRICT, history("call_1", "call_2", "call_3"))[0] == early[0]


def test_ids_that_a_template_takes_are_not_touched() -> None:
    assert shown(STRICT, history("abcDEF123")) == ["abcDEF123"] * 2
    messages = history("call_abc123def456")
    assert ChatTemplate(LENIENT, {}).render(messages, []) == "call_abc123def456"
    assert in_nine_characters(history("abcDEF123")) == history("abcDEF123")
    assert messages == history("call_abc123def456")


def test_a_refusal_for_another_reason_is_told_as_it_was() -> None:
    source = "{{ raise_exception('roles must alternate, not ' ~ messages[1].tool_calls[0].id) }}"
    with pytest.raises(InvalidRequest, match="alternate, not call_1"):
        ChatTemplate(source, {}).render(history("call_1"), [])


@given(st.lists(st.text(max_size=12), max_size=6))
def test_two_ids_never_become_one(ids: list[str]) -> None:
    messages = in_nine_characters(history(*ids))
    made = [call["id"] for call in messages[1]["tool_calls"]]
    assert len(set(made)) == len(set(ids))
    assert made == [message["tool_call_id"] for message in messages[2:]]


def test_a_collision_is_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_ids, "_short", lambda _one, attempt: f"AAAAAAAA{attempt}")
    made = in_nine_characters(history("AAAAAAAA0", "call_1", "call_2"))
    assert [call["id"] for call in made[1]["tool_calls"]] == ["AAAAAAAA0", "AAAAAAAA1", "AAAAAAAA2"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": None},
        {"role": "assistant", "tool_calls": None},
        {"role": "assistant", "tool_calls": [{"id": 5}, None, "x"]},
        {"role": "assistant", "tool_calls": []},
        {"role": "assistant", "tool_calls": "x"},
    ],
)
def test_what_has_no_id_stays_as_it_is(message: dict[str, Any]) -> None:
    assert list(in_nine_characters([message])) == [message]
