"""The texts of a choice, each a stream of its own."""

from __future__ import annotations

import logging

import pytest

from serve.governance.masking.lanes import Lane, Rewritten
from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenIds, ToolCallDelta

CANARY = "canary-7"


class Upper:
    """Holds back one character, and raises or blocks where it is told to."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.held = ""
        self.blocked: str | None = None

    def feed(self, piece: str) -> str:
        if CANARY in piece:
            raise ValueError(piece)
        if "!" in piece:
            self.blocked = "rule"
            piece = piece.partition("!")[0]
            text, self.held = self.held + piece, ""
            return text.upper()
        text = self.held + piece
        self.held = text[-1:]
        return text[:-1].upper()

    def finish(self) -> str:
        text, self.held = self.held.upper(), ""
        return text


def text(value: str) -> TextDelta:
    return TextDelta(index=2, text=value)


def thought(value: str) -> TextDelta:
    return TextDelta(index=2, text=value, channel="reasoning")


END = Finished(index=2, reason="stop")


def test_what_is_held_comes_before_the_next_text_and_before_the_end() -> None:
    call = ToolCallDelta(index=2, call=0, call_id="c", name="n", arguments="{}")
    events: list[ChoiceEvent] = [thought("ab"), text("cd"), call, END]
    assert Rewritten(Upper).feed(events) == [
        *(thought("A"), thought("B"), text("C"), text("D")),
        ToolCallDelta(index=2, call=0, call_id="c", name="n", arguments="{"),
        ToolCallDelta(index=2, call=0, arguments="}"),
        END,
    ]


def test_tokens_of_a_masked_answer_can_be_counted_alone() -> None:
    ids = TokenIds(index=2, token_ids=(7, 8))
    assert Rewritten(Upper).feed([ids]) == [ids]
    hidden = Rewritten(Upper, hides_tokens=True)
    assert hidden.feed([ids, END]) == [TokenIds(index=2, token_ids=(0, 0)), END]


def test_what_is_blocked_ends_the_choice() -> None:
    stage = Rewritten(Upper)
    passed = stage.feed([text("ab!c"), text("d"), END])
    assert passed == [text("AB"), Finished(index=2, reason="content_filter")]


def test_a_failure_ends_the_choice_and_tells_no_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        passed = Rewritten(Upper).feed([text("ab"), text(CANARY), END])
    *before, end = passed
    assert before == [text("A")]
    assert isinstance(end, Finished)
    assert end.error is not None
    assert (end.reason, end.error.code) == ("error", "masking_failed")
    assert CANARY not in end.error.message + caplog.records[0].getMessage()
