"""Marks in the place of special tokens' names."""

from __future__ import annotations

import pytest

from serve.pipeline.model_dialects.harmony import MARKUP
from serve.pipeline.model_dialects.marks import marked
from serve.pipeline.model_dialects.table import HARMONY, HERMES, KIMI
from tests.serve.pipeline.model_dialects.dialects import ALL


def test_a_dialect_has_marks_for_the_tokens_that_it_names() -> None:
    changed, marks = marked(HERMES, {"<think>": 1, "<other>": 2})
    assert [*marks] == ["<think>"]
    (mark,) = marks.values()
    assert "\udc00" <= mark <= "\udfff"
    assert changed.reasoning is not None
    assert changed.reasoning.open == f"{mark}\n"
    assert changed.calls == HERMES.calls


def test_without_special_tokens_a_dialect_stays_as_it_is() -> None:
    assert marked(HERMES, {}) == (HERMES, {})
    assert marked(HERMES, {"": 1}) == (HERMES, {})


def test_the_longest_name_is_the_one_that_stands() -> None:
    changed, marks = marked(KIMI, {"<|tool_call_begin|>": 1, "<|tool_call_begin|>functions.": 2})
    assert changed.calls is not None
    assert changed.calls.open == marks["<|tool_call_begin|>functions."]


def test_harmony_has_marks_for_all_of_its_markup() -> None:
    _, marks = marked(HARMONY, {name: number for number, name in enumerate(MARKUP)})
    assert {*marks} == {*MARKUP}
    assert len({*marks.values()}) == len(MARKUP)


@pytest.mark.parametrize("name", ALL)
def test_each_token_has_a_mark_of_its_own(name: str) -> None:
    special = {one: number for number, one in enumerate(["<think>", "</think>", "<", "[", '"'])}
    changed, marks = marked(ALL[name], special)
    assert len({*marks.values()}) == len(marks)
    assert not any(one in repr(changed) for one in marks if one not in '<["')
