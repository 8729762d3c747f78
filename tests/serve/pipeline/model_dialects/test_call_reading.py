"""Single calls of each form, as models write them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.model_dialects.dialect import ModelDialect
from serve.pipeline.model_dialects.table import HERMES, KIMI, LLAMA_JSON, PYTHONIC
from tests.serve.pipeline.model_dialects.dialects import BARE_NAMED, LISTED, TAGGED
from tests.serve.pipeline.model_dialects.parsed import Parsed, one_by_one, parsed

CALL = '<tool_call>\n{"name": "get", "arguments": {"city": "Köln"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("dialect", "text", "wanted"),
    [
        (HERMES, CALL, Parsed([], [("get", '{"city": "Köln"}')])),
        (HERMES, f"Well.\n{CALL}", Parsed([("content", "Well.")], [("get", '{"city": "Köln"}')])),
        (
            HERMES,
            f"<think>\nHm.\n</think>\n\nWell.\n{CALL}\n{CALL}",
            Parsed([("reasoning", "Hm."), ("content", "Well.")], [("get", '{"city": "Köln"}')] * 2),
        ),
        (
            HERMES,
            '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>',
            Parsed([], [("f", '{"a": 1}')]),
        ),
        (HERMES, '<tool_call>{"name": "f"}</tool_call>', Parsed([], [("f", "{}")])),
        (
            HERMES,
            '<tool_call>{"name": "f", "arguments": null}</tool_call>',
            Parsed([], [("f", "{}")]),
        ),
        (
            HERMES,
            '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>',
            Parsed([], [("f", '{"a": 1}')]),
        ),
        (
            HERMES,
            '<tool_call>{"name": "f", "arguments": {}, "arguments": {}}</tool_call>',
            Parsed([], [("f", "{}")]),
        ),
        (HERMES, '{"name": "f", "arguments": {}}', Parsed([], [("f", "{}")])),
        (HERMES, '```json\n{"name": "f", "arguments": {}}\n```', Parsed([], [("f", "{}")])),
        (LLAMA_JSON, '{"name": "f", "parameters": {"a": 1}}', Parsed([], [("f", '{"a": 1}')])),
        (
            LLAMA_JSON,
            'So: {"name": "f", "parameters": {}}',
            Parsed([("content", "So: ")], [("f", "{}")]),
        ),
        (
            LLAMA_JSON,
            '{"name": "f", "parameters": {}}; {"name": "get", "parameters": {}}',
            Parsed([], [("f", "{}"), ("get", "{}")]),
        ),
        (
            PYTHONIC,
            '[get(city="Köln", days=2, deep={"a": None}), f()]',
            Parsed([], [("get", '{"city": "Köln", "days": 2, "deep": {"a": null}}'), ("f", "{}")]),
        ),
        (
            KIMI,
            (
                "<|tool_calls_section_begin|><|tool_call_begin|>functions.get:0"
                '<|tool_call_argument_begin|>{"days": 2}<|tool_call_end|><|tool_call_begin|>'
                "functions.f:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
                "<|tool_calls_section_end|>"
            ),
            Parsed([], [("get", '{"days": 2}'), ("f", "{}")]),
        ),
        (
            TAGGED,
            (
                "<tool_call>\n<function=get>\n<parameter=city>\n12\n</parameter>\n"
                "<parameter=days>\n12\n</parameter>\n</function>\n</tool_call>"
            ),
            Parsed([], [("get", '{"city": "12", "days": 12}')]),
        ),
        (BARE_NAMED, 'f\n{"a": 1}', Parsed([], [("f", '{"a": 1}')])),
        (
            LISTED,
            '[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "aB3dE6gH9"}]',
            Parsed([], [("f", "{}")]),
        ),
        (LISTED, "<reply>Hi.</reply>", Parsed([("content", "Hi.")])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_models_write(dialect: ModelDialect, text: str, wanted: Parsed) -> None:
    seen = replace(one_by_one(dialect, text), tokens=[])
    assert seen == replace(wanted, reason="tool_calls" if wanted.calls else "stop")
    assert replace(parsed(dialect, text), tokens=[]) == seen


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_arguments_of_any_value_come_back(value: object) -> None:
    given_arguments = {"a": value}
    for ascii_only in (True, False):
        written = json.dumps(given_arguments, ensure_ascii=ascii_only)
        text = f'<tool_call>\n{{"name": "f", "arguments": {written}}}\n</tool_call>'
        assert one_by_one(HERMES, text).calls == [("f", written)]
        quoted = json.dumps(written, ensure_ascii=ascii_only)
        text = f'<tool_call>\n{{"name": "f", "arguments": {quoted}}}\n</tool_call>'
        ((_, read),) = one_by_one(HERMES, text).calls
        assert json.loads(read) == given_arguments
