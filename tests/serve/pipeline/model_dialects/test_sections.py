"""Calls that stand together, that break off, and what only looks like them."""

from __future__ import annotations

import pytest

from serve.pipeline.model_dialects.dialect import ModelDialect
from serve.pipeline.model_dialects.table import HERMES, LLAMA_JSON, PYTHONIC
from tests.serve.pipeline.model_dialects.dialects import TAGGED
from tests.serve.pipeline.model_dialects.parsed import one_by_one, parsed

CALL = '<tool_call>\n{"name": "get", "arguments": {"city": "Köln"}}\n</tool_call>'


@pytest.mark.parametrize(
    "text",
    [
        "Use <tool_call> to call.",
        "<tool_call>\nnothing\n</tool_call>",
        '{"name": "Bob", "arguments": {}}',
        '{"name": "f", "arguments": {}} is how to call.',
        '{"name": "f", "arguments": {}, "more": 1}',
        '{"answer": 42}',
        "[1, 2]",
        "[get the thing](http://a)",
        'So [f(a="b")] is a call',
        "[f(hello world)] and so x = 1",
        "a <b> c </tool_call>",
        '<tool_call>{"name": "\\ud800", "arguments": {}}',
    ],
)
@pytest.mark.parametrize(
    "dialect", [HERMES, LLAMA_JSON, PYTHONIC, TAGGED], ids=lambda one: one.name
)
def test_what_only_looks_like_a_call_is_content(dialect: ModelDialect, text: str) -> None:
    seen = one_by_one(dialect, text)
    assert (seen.content, seen.calls, seen.reason) == (text, [], "stop")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('<tool_call>\n{"name": "get", "arguments": {"city": "Kö', ("get", '{"city": "Kö')),
        ('<tool_call>\n{"name": "get", "arguments": {}', ("get", "{}")),
        ('<tool_call>\n{"name": "get", "arg', ("get", "")),
        (CALL[:-5], ("get", '{"city": "Köln"}')),
    ],
)
def test_a_call_that_is_cut_keeps_what_came(text: str, wanted: tuple[str, str]) -> None:
    seen = one_by_one(HERMES, text, reason="length")
    assert (seen.content, seen.calls, seen.reason) == ("", [wanted], "length")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "<tool_call>\n<function=get>\n<parameter=city>\n12\n</parameter>\n<param",
            '{"city": "12"',
        ),
        ("<tool_call>\n<function=get>\n<parameter=city>\n12", ""),
        (
            "<tool_call>\n<function=get>\n<parameter=city>\n12\n</parameter>\n</fun",
            '{"city": "12"}',
        ),
    ],
)
def test_a_tagged_call_that_is_cut_keeps_what_came(text: str, wanted: str) -> None:
    seen = one_by_one(TAGGED, text, reason="length")
    assert (seen.content, seen.calls, seen.reason) == ("", [("get", wanted)], "length")


def test_a_call_that_a_stop_string_cuts_is_no_reason_to_call() -> None:
    cut = one_by_one(HERMES, '<tool_call>{"name": "f", "arguments": {"a": ')
    assert (cut.calls, cut.reason) == ([("f", '{"a": ')], "stop")
    unclosed = one_by_one(HERMES, '<tool_call>{"name": "f", "arguments": {"a": 1}')
    assert (unclosed.calls, unclosed.reason) == ([("f", '{"a": 1}')], "tool_calls")


def test_a_broken_call_is_told_as_it_stands_up_to_its_end() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": 1} and more</tool_call> Done.'
    seen = one_by_one(HERMES, text)
    assert seen.calls == [("f", '{"a": 1}and more')]
    assert seen.content == "Done."


@pytest.mark.parametrize("text", [f"{CALL}\n{CALL}", f"Well.\n{CALL}{CALL}"])
def test_one_call_alone_ends_the_choice(text: str) -> None:
    seen = parsed(HERMES, text, is_parallel=False)
    assert (len(seen.calls), seen.reason) == (1, "tool_calls")
    assert one_by_one(HERMES, text, is_parallel=False).calls == seen.calls


def test_a_lone_call_at_the_end_of_a_text_is_told_once_it_is_known_to_be_the_end() -> None:
    text = 'So: {"name": "f", "parameters": {}}'
    for tail, calls in (("", [("f", "{}")]), ("\n", [("f", "{}")]), (" or so", [])):
        seen = one_by_one(LLAMA_JSON, text + tail, is_parallel=False)
        assert seen.calls == calls
        assert seen.content == ("So: " if calls else text + tail)
