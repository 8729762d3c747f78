"""An answer as a whole: each choice's text, in the order of the choices."""

from __future__ import annotations

import pytest

from serve.errors import EngineDeadError, InternalError
from serve.pipeline.answer import Answer, CollectedCall
from serve.pipeline.events import Finished, Started, TextDelta, TokenText, ToolCallDelta


def delta(index: int, text: str, *logprobs: TokenText) -> TextDelta:
    return TextDelta(index=index, text=text, logprobs=logprobs)


def test_choices_come_in_their_order_whatever_came_first() -> None:
    answer = Answer()
    token = TokenText(text="b", raw=b"b", logprob=-1.0)
    for event in (
        Started(prompt_tokens=1),
        delta(1, "b", token),
        delta(0, "a"),
        Finished(index=1, reason="length"),
        delta(0, "aa"),
        Finished(index=0, reason="stop"),
    ):
        answer.add(event)
    assert [(c.index, c.text, c.reason) for c in answer.choices] == [
        (0, "aaa", "stop"),
        (1, "b", "length"),
    ]
    assert answer.choices[1].logprobs == [token]


def test_a_choice_without_text_is_one() -> None:
    answer = Answer()
    answer.add(Finished(index=0, reason="stop"))
    assert [choice.text for choice in answer.choices] == [""]


def test_a_choice_that_failed_raises_its_error() -> None:
    error = EngineDeadError("It stopped.")
    with pytest.raises(EngineDeadError, match=r"It stopped\."):
        Answer().add(Finished(index=0, reason="error", error=error))
    with pytest.raises(InternalError):
        Answer().add(Finished(index=0, reason="error"))


def test_text_of_another_channel_is_not_the_answers() -> None:
    answer = Answer()
    answer.add(TextDelta(index=0, text="hm", channel="reasoning"))
    answer.add(delta(0, "yes"))
    assert answer.choices[0].text == "yes"


def test_calls_are_joined_from_their_pieces_in_order() -> None:
    answer = Answer()
    for event in (
        ToolCallDelta(index=0, call=0, call_id="a", name="f", arguments="{"),
        ToolCallDelta(index=0, call=1, call_id="b", name="g"),
        ToolCallDelta(index=0, call=0, arguments="}"),
        ToolCallDelta(index=0, call=1, arguments="[]"),
    ):
        answer.add(event)
    (choice,) = answer.choices
    assert choice.calls == [
        CollectedCall(call_id="a", name="f", arguments="{}"),
        CollectedCall(call_id="b", name="g", arguments="[]"),
    ]
    assert choice.text == choice.text_of("reasoning") == ""
