"""Grammars as values: which can be made, and that equal ones are one."""

from __future__ import annotations

from typing import Any

import pytest

from serve.engine.grammars.grammar import Grammar


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "json_schema", "text": "{}"},
        {"kind": "regex", "text": "a|b"},
        {"kind": "lark", "text": 'start: "a"'},
        {"kind": "structural", "text": "{}"},
        {"kind": "choice", "choices": ("yes", "no")},
        {"kind": "choice", "choices": ("",)},  # the empty completion
    ],
    ids=str,
)
def test_equal_grammars_are_one_key_of_a_cache(fields: dict[str, Any]) -> None:
    assert len({Grammar(**fields), Grammar(**fields)}) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "regex"}, "of kind regex needs text and nothing else; given: nothing."),
        ({"kind": "regex", "choices": ("a",)}, "needs text and nothing else; given: choices."),
        ({"kind": "lark", "text": "x", "choices": ("a",)}, "given: text, choices."),
        ({"kind": "choice", "text": "a"}, "of kind choice needs choices .*; given: text."),
        ({"kind": "choice", "choices": ()}, "needs choices and nothing else; given: nothing."),
    ],
    ids=str,
)
def test_one_that_means_nothing_cannot_be_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grammar(**fields)
