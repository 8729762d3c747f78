"""What a folder's response_template says is read, and none of its expressions is run."""

from __future__ import annotations

import re
from typing import Any

import pytest

from serve.pipeline.model_dialects.dialect import (
    JsonCall,
    NamedCall,
    Piece,
    ReasoningSyntax,
    TaggedCall,
)
from serve.pipeline.model_dialects.response_templates import (
    MAX_PATTERN_CHARS,
    pattern_pieces,
    read_response_template,
)


def described(**fields: Any) -> dict[str, Any]:
    return {"version": 1, "fields": fields}


THINKING = {"open": "<think>", "close": "</think>"}
CALLS = {
    "open": "<call>",
    "close": "</call>",
    "content": "json",
    "transform": {"function": {"name": "{name}", "arguments": "{content.arguments}"}},
}


def test_reasoning_and_calls_of_json_are_read() -> None:
    dialect = read_response_template(described(thinking=THINKING, tool_calls=CALLS))
    assert dialect is not None
    assert dialect.source == "response_template"
    assert dialect.reasoning == ReasoningSyntax(open="<think>", close="</think>")
    assert dialect.calls is not None
    assert dialect.calls.body == JsonCall(name=("name",), arguments=("arguments",))
    assert (dialect.calls.open, dialect.calls.close) == ("<call>", "</call>")


def test_a_name_before_json_is_read_out_of_a_pattern() -> None:
    calls = {"open_pattern": r"<f=(?P<name>\w+)>\s*", "close": "</f>", "content": "json"}
    dialect = read_response_template(described(tool_calls=calls))
    assert dialect is not None
    assert dialect.calls is not None
    assert dialect.calls.open == "<f="
    assert dialect.calls.body == NamedCall(name_end=">\n")


def test_arguments_one_by_one_are_read_out_of_a_pattern() -> None:
    calls = {
        "open_pattern": r"<f=(?P<name>\w+)>",
        "close": "</f>",
        "content": "xml-inline",
        "content_args": {"tag_pattern": r"<p=(?P<key>\w+)>(?P<value>.*?)</p>"},
    }
    dialect = read_response_template(described(tool_calls=calls))
    assert dialect is not None
    assert dialect.calls is not None
    assert dialect.calls.body == TaggedCall(
        name_end=">", key_open="<p=", key_end=">", value_end="</p>"
    )


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        "a|b",
        "[ab]",
        r"\w+",
        ".*",
        "(?P<name>(a))",
        "\\",
        "",
        "x" * (MAX_PATTERN_CHARS + 1),
        None,
        7,
    ],
)
def test_more_than_literals_and_groups_is_left_alone(pattern: Any) -> None:
    assert pattern_pieces(pattern) is None


def test_literals_and_groups_are_read() -> None:
    assert pattern_pieces(r"\[a\](?P<name>\w+)\n") == [
        Piece("[a]"),
        Piece("name", is_hole=True),
        Piece("\n"),
    ]


def test_no_expression_of_a_folder_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    for name in ("compile", "match", "search", "fullmatch", "findall", "finditer", "split", "sub"):
        monkeypatch.setattr(re, name, lambda *given, **_: seen.append(given))
    for name in ("open_pattern", "close_pattern"):
        hostile = {"content": "json", name: r"(?P<name>(a+)+)b"}
        read_response_template(described(tool_calls=hostile, thinking=hostile))
    assert seen == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [],
        {},
        {"fields": []},
        {"version": 2, "fields": {"thinking": THINKING}},
        described(),
        described(thinking={"open": 1, "close": 2}),
        described(tool_calls={"open": "<call>"}),
        described(tool_calls={**CALLS, "transform": {"function": {"name": 1}}}),
        described(tool_calls="text", thinking=None),
    ],
)
def test_what_describes_nothing_that_is_known_is_none(value: Any) -> None:
    assert read_response_template(value) is None
