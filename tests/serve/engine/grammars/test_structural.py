"""Structural forms: what they may ask for, and that a text of theirs is no grammar of ours."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from serve.engine.grammars import structural
from serve.engine.grammars.compiling import GrammarCompiler
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.refusal import GrammarRefused
from serve.errors import InvalidRequest
from tests.serve.engine.grammars.test_serialised import is_of

TAG = {
    "begin": "[f]",
    "content": {"type": "json_schema", "json_schema": {"type": "integer"}},
    "end": ";",
}


def form(**more: Any) -> Any:
    return {"type": "triggered_tags", "triggers": ["["], "tags": [copy.deepcopy(TAG)], **more}


def grammar(value: Any) -> Grammar:
    return Grammar(kind="structural", text=json.dumps({"type": "structural_tag", "format": value}))


@pytest.mark.parametrize(
    ("options", "taken", "refused"),
    [
        ({}, ["", "a", "[f]1;", "a [f]1; b [f]2;"], ["[f]x"]),
        ({"at_least_one": True}, ["[f]1;", "a [f]1; b"], ["", "a"]),
        ({"stop_after_first": True}, ["", "a", "a [f]1;"], ["[f]1; b"]),
        ({"at_least_one": True, "stop_after_first": True}, ["a [f]1;"], ["", "a", "[f]1; b"]),
        ({"at_least_one": False, "stop_after_first": None}, ["a"], []),
    ],
)
def test_options(options: Any, taken: list[str], refused: list[str]) -> None:
    for text in taken:
        assert is_of(grammar(form(**options)), text), text
    for text in refused:
        assert not is_of(grammar(form(**options)), text), text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (form(excludes=["x"]), "'excludes'"),
        (form(at_least_one="yes"), "at_least_one"),
        (form(tags=[{**TAG, "separator": ","}]), "Structure 0 .* 'separator'"),
        (form(tags=[{**TAG, "content": {**TAG["content"], "style": "xml"}}]), "'style'"),  # type: ignore[dict-item]
    ],
)
def test_what_is_not_honoured_is_refused(value: Any, words: str) -> None:
    with pytest.raises(GrammarRefused, match=words):
        structural.entries(json.dumps({"type": "structural_tag", "format": value}))


@pytest.mark.parametrize(
    "trigger", ["<a b>", "<[1]> | X\nX: /x/ & /y/\nY: <[2]>", "<[*]>", "<\x7f>\t"]
)
def test_a_trigger_is_a_text_or_the_name_of_a_token(
    compiler: GrammarCompiler, trigger: str
) -> None:
    value = form(triggers=[trigger], tags=[{**TAG, "begin": trigger + "[f]"}])
    assert is_of(grammar(value), f"a {trigger}[f]1; b")
    compiler.compile(grammar(value))
    with pytest.raises(InvalidRequest, match="special token that this model does not have"):
        compiler.compile(grammar(form(triggers=["<x>"], tags=[{**TAG, "begin": "<x>"}])))


def test_a_form_is_part_of_another_grammar() -> None:
    whole = Grammar(kind="lark", text='start: "<" @x', parts=(("x", grammar(form())),))
    assert is_of(whole, "<a [f]1; b")
    assert not is_of(whole, "<a [f]x; b")
