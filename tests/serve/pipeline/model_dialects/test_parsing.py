"""What holds for every text and every dialect, whatever the pieces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenIds, ToolCallDelta
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.pipeline.model_dialects.table import HERMES, LLAMA_JSON
from tests.serve.pipeline.model_dialects.dialects import ALL, MARKS, OPTIONS, texts_of
from tests.serve.pipeline.model_dialects.parsed import Parsed, one_by_one, parsed

each_dialect = pytest.mark.parametrize("name", ALL)


def without_tokens(one: Parsed) -> Parsed:
    return replace(one, tokens=[])


@each_dialect
@given(data=st.data())
def test_any_pieces_of_any_text_give_the_same(name: str, data: st.DataObject) -> None:
    dialect, marks = MARKS[name]
    text = data.draw(texts_of(name))
    options: dict[str, Any] = {**data.draw(OPTIONS), "marks": marks}
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    whole = without_tokens(one_by_one(dialect, text, **options))
    assert without_tokens(parsed(dialect, text, cuts, **options)) == whole
    for said in (whole.content, whole.reasoning, *(part for call in whole.calls for part in call)):
        said.encode()  # no mark, and no other surrogate
    if whole.reason == "tool_calls":
        assert whole.calls


@each_dialect
@given(data=st.data())
def test_tokens_are_told_once_each_and_in_their_order(name: str, data: st.DataObject) -> None:
    dialect, marks = MARKS[name]
    text = data.draw(texts_of(name).filter(bool))
    options: dict[str, Any] = {**data.draw(OPTIONS), "marks": marks, "shows_reasoning": True}
    seen = one_by_one(dialect, text, **options)
    assert seen.tokens == list(range(len(seen.tokens)))
    if seen.reason == options["reason"] or options["is_parallel"]:
        assert len(seen.tokens) == len(text)


@each_dialect
@given(
    text=st.text(alphabet="ab c.\n\té🙂{}:,;0", max_size=40),
    reason=st.sampled_from(["stop", "length"]),
)
def test_a_text_without_markup_is_content_as_it_is(name: str, text: str, reason: str) -> None:
    dialect, marks = MARKS[name]
    seen = one_by_one(dialect, text, marks=marks, reason=reason)
    assert (seen.content, seen.reasoning, seen.calls, seen.reason) == (text, "", [], reason)


@pytest.mark.parametrize("name", [name for name, one in ALL.items() if one.frame == "plain"])
@given(data=st.data())
def test_where_nothing_was_called_only_markup_is_missing(name: str, data: st.DataObject) -> None:
    dialect = replace(ALL[name], reasoning=None, content_open="", content_close="")
    text = data.draw(texts_of(name)).translate(dict.fromkeys(range(0xD800, 0xE000)))
    seen = one_by_one(dialect, text)
    if not seen.calls:
        assert seen.content == text
    assert one_by_one(dialect, text, tools=None).content == text


def test_whether_the_next_token_is_reasoning() -> None:
    parser = AnswerParser(index=0, dialect=HERMES)
    told = []
    for piece in ("<think>", "a", "</think>", "b"):
        told.append(parser.is_reasoning)
        parser.feed([TextDelta(index=0, text=piece)])
    assert told == [False, True, True, False]
    assert AnswerParser(index=0, dialect=HERMES, is_thinking=True).is_reasoning
    assert not AnswerParser(index=0, dialect=LLAMA_JSON, is_thinking=True).is_reasoning


def test_other_events_pass() -> None:
    parser = AnswerParser(index=0, dialect=HERMES)
    others: list[ChoiceEvent] = [
        TokenIds(index=0, token_ids=(1,)),
        TextDelta(index=0, text="<think>", channel="reasoning"),
        ToolCallDelta(index=0, call=0, name="x"),
    ]
    assert parser.feed(others) == others
    end = Finished(index=0, reason="error")
    assert parser.feed([end]) == [end]
