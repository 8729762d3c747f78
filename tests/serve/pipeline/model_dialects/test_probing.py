"""Renderings with sentinels, and the assistant's own words in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.model_dialects.probing import (
    CONTENT,
    FIRST,
    IDS,
    SECOND,
    Probe,
    atoms,
    calls,
    common_prefix,
)


def render(messages: Sequence[Mapping[str, Any]], tools: object, opens_answer: bool) -> str:
    turns = [f"<{one['role']}>{one.get('content') or ''}</s>\n" for one in messages]
    return "".join(turns) + ("<assistant>" if opens_answer else "")


def failing(*_: object) -> str:
    raise RuntimeError


@pytest.mark.parametrize(
    ("text", "names", "wanted"),
    [
        ("<a>\n b", (), ["<a>", "\n ", "b"]),
        ("</a><b=c>", (), ["</a>", "<b", "=", "c", ">"]),
        ("[A](x", (), ["[", "A", "]", "(", "x"]),
        ("[A]x", ("[A]",), ["[A]", "x"]),
        ("<a>b>", ("<a>b>", "<a>"), ["<a>b>"]),
        ("", (), []),
    ],
)
def test_atoms_are_never_cut(text: str, names: tuple[str, ...], wanted: list[str]) -> None:
    assert atoms(text, names) == wanted


@given(st.text(max_size=30), st.lists(st.text(max_size=3), max_size=3))
def test_atoms_are_the_whole_text(text: str, names: list[str]) -> None:
    assert "".join(atoms(text, names)) == text


def test_an_answer_is_what_the_assistant_says() -> None:
    probe = Probe(render, ["</s>"])
    assert probe.answer({"content": f"a {CONTENT} b"}, CONTENT) == f"a {CONTENT} b"
    assert probe.answer({"content": "else"}, CONTENT) is None


def test_where_no_token_ends_a_turn_a_plain_one_shows_what_does() -> None:
    assert Probe(render, []).answer({"content": f"a {CONTENT}"}, CONTENT) == f"a {CONTENT}"


def test_templates_that_raise_show_nothing() -> None:
    probe = Probe(failing, ["</s>"])
    assert probe.answer({"content": CONTENT}, CONTENT) is None
    assert probe.opening() == ""


def test_an_opening_is_what_the_prompt_has_begun_of_the_answer() -> None:
    def thinking(messages: Any, tools: object, opens_answer: bool) -> str:
        return render(messages, tools, opens_answer) + ("<think>\n" if opens_answer else "")

    assert Probe(thinking, ["</s>"]).opening() == "<think>\n"
    assert Probe(render, ["</s>"]).opening() == ""


def test_calls_are_of_the_first_tool_and_then_the_second() -> None:
    message = calls({"a": 1}, {}, content="c")
    names = [call["function"]["name"] for call in message["tool_calls"]]
    assert (message["content"], names) == ("c", [FIRST, SECOND])
    assert [call["id"] for call in message["tool_calls"]] == [*IDS]


def test_the_common_beginning_of_two_texts() -> None:
    assert [common_prefix(*pair) for pair in (("ab", "ac"), ("a", "ab"), ("", "a"))] == [1, 1, 0]
