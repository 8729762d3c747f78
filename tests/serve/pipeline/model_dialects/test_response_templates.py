"""What a checkpoint's response_template says, and that none of its patterns is ever run."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.model_dialects.dialect import (
    JsonCall,
    NamedCall,
    Piece,
    ReasoningSyntax,
    TaggedCall,
)
from serve.pipeline.model_dialects.response_templates import pattern_pieces, read_response_template
from tests.serve.pipeline.model_dialects.parsed import one_by_one

THINKING = {"open": "<think>", "close": "</think>"}
JSON_CALLS = {
    "open": "<call>",
    "close": "</call>",
    "content": "json",
    "transform": {"function": {"name": "{content.name}", "arguments": "{arguments}"}},
}
NAMED_CALLS = {"open_pattern": r"<f=(?P<name>\w+)>\s*", "close": "</f>", "content": "json"}
TAGGED_CALLS = {
    "open_pattern": r"<function=(?P<name>[^>\n]+)>\n",
    "close": "</function>",
    "content": "xml-inline",
    "content_args": {"tag_pattern": r"<parameter=(?P<key>\w+)>\n(?P<value>.*?)\n</parameter>"},
}
HOLE = Piece("name", is_hole=True)


def read(**fields: Any) -> Any:
    return read_response_template({"version": 1, "fields": fields})


def test_reasoning() -> None:
    found = read(reasoning_content={"open": ["<think>", "<t>"], "close": "</think>"})
    assert found.reasoning == ReasoningSyntax(open="<think>", close="</think>")
    assert (found.source, found.calls) == ("response_template", None)


def test_calls_in_json() -> None:
    calls = read(tool_calls=JSON_CALLS).calls
    assert calls.body == JsonCall(name=("name",), arguments=("arguments",))
    assert (calls.open, calls.close) == ("<call>", "</call>")
    listed = read(tool_calls={**JSON_CALLS, "transform_each": True}).calls
    assert (listed.section_open, listed.open, listed.section_close) == ("<call>[", "", "]</call>")


def test_calls_with_their_name_in_the_anchor() -> None:
    calls = read(tool_calls=NAMED_CALLS).calls
    assert calls.body == NamedCall(name_end=">\n")
    assert calls.pieces == (HOLE, Piece(">\n"), Piece("arguments", is_hole=True))
    seen = one_by_one(read(tool_calls=NAMED_CALLS), '<f=get>{"days": 1}</f>')
    assert seen.calls == [("get", '{"days": 1}')]


def test_calls_with_tags() -> None:
    found = read(tool_calls=TAGGED_CALLS)
    assert isinstance(found.calls.body, TaggedCall)
    seen = one_by_one(found, "<function=get>\n<parameter=days>\n2\n</parameter>\n</function>")
    assert seen.calls == [("get", '{"days": 2}')]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("<a>", [Piece("<a>")]),
        (r"<a>\s*(?P<name>\w+)\n?", [Piece("<a>\n"), HOLE, Piece("\n")]),
        (r"\[\(\t", [Piece("[(\t")]),
        (r"a.b", None),
        (r"a+", None),
        (r"(a|b)", None),
        (r"(?:a)", None),
        (r"(?P<name>(a+)+)b", None),
        (r"[ab]", None),
        (r"\w", None),
        (r"\d", None),
        ("a\\", None),
        ("", None),
        ("a" * 513, None),
        (None, None),
        (1, None),
        ({"a": 1}, None),
    ],
)
def test_a_pattern_is_read_as_literals_and_groups_or_not_at_all(
    pattern: Any, wanted: list[Piece] | None
) -> None:
    assert pattern_pieces(pattern) == wanted


class Compiled(AssertionError):
    pass


@pytest.fixture
def nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the module has compiled it has compiled before: patterns of its own."""

    def refuse(*_: object, **__: object) -> None:
        raise Compiled

    for name in ("compile", "match", "search", "fullmatch", "sub", "split", "findall", "finditer"):
        monkeypatch.setattr(re, name, refuse)


EVIL = r"(?P<name>(a+)+)$"


@pytest.mark.usefixtures("nothing_compiles")
def test_patterns_of_a_folder_are_never_run() -> None:
    with pytest.raises(Compiled):
        re.compile(EVIL)
    for key in ("open_pattern", "close_pattern", "open", "close"):
        read(thinking={**THINKING, key: EVIL}, tool_calls={**NAMED_CALLS, key: EVIL})
    arguments = {"tag_pattern": EVIL}
    read(tool_calls={**TAGGED_CALLS, "content_args": arguments})
    assert read(tool_calls=TAGGED_CALLS) is not None


DEEP: Any = "x"
for _ in range(500):
    DEEP = {"fields": DEEP, "open": [DEEP]}
HOSTILE = [
    None,
    1,
    True,
    "",
    " ",
    "\n\n",
    "x" * 1_000_000,
    [],
    {},
    [[]],
    DEEP,
    "{" * 9,
    "{content.}",
    EVIL,
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_values_of_any_kind_are_borne(value: Any) -> None:
    read_response_template(value)
    read_response_template({"version": value, "fields": {}})
    read_response_template({"fields": value})
    for field in (THINKING, JSON_CALLS, NAMED_CALLS, TAGGED_CALLS):
        for key in (*field, "close_pattern", "transform_each", "content_args"):
            found = read(thinking={**field, key: value}, tool_calls={**field, key: value})
            _assert_short(found)
    read(tool_calls={**JSON_CALLS, "transform": {"name": value, "arguments": value}})


def _assert_short(found: Any) -> None:
    """No literal of a megabyte comes through, and reasoning has tags that say something."""
    assert len(repr(found)) < 10_000
    if found is not None and found.reasoning is not None:
        assert found.reasoning.open.strip()
        assert found.reasoning.close.strip()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(
        [
            "",
            " ",
            "<a>",
            "json",
            "xml-inline",
            EVIL,
            r"(?P<key>a)(?P<value>b)",
            r"(?P<name>\w+)",
            "{name}",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("open", "close", "open_pattern", "content", "content_args", "tag_pattern"),
                    *("transform", "function", "name", "arguments", "transform_each"),
                ]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@given(thinking=JSON, calls=JSON, text=st.text(alphabet="<a>b {}\n", max_size=30))
def test_whatever_is_read_reads_any_answer(thinking: Any, calls: Any, text: str) -> None:
    found = read(thinking=thinking, tool_calls=calls)
    if found is not None:
        one_by_one(found, text)
