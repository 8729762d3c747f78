"""The filter's stages: what is told of a choice up to the first hit, and of its tokens."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from serve.errors import ContentFilterFailed
from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.stage import FilterStage, HeldIds
from serve.pipeline.events import (
    ChoiceEvent,
    Finished,
    TextDelta,
    TokenIds,
    TokenText,
    ToolCallDelta,
)
from tests.serve.governance.filtering.rule_texts import MATCHER, RULES

END = Finished(index=0, reason="stop")
CUT = Finished(index=0, reason="content_filter")


class Notes:
    """What a stage tells beside its events."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.num_failures = 0

    def stage(self, matcher: Matcher = MATCHER) -> FilterStage:
        return FilterStage(0, matcher, on_hit=self._hit, on_failure=self._failed)

    def _hit(self, rule: Rule) -> None:
        self.hits.append(rule.name)

    def _failed(self) -> None:
        self.num_failures += 1


def text(*pieces: str, channel: str = "content") -> list[ChoiceEvent]:
    return [TextDelta(index=0, text=piece, channel=channel) for piece in pieces]  # type: ignore[arg-type]


def call(number: int, arguments: str, *, name: str | None = None) -> ToolCallDelta:
    call_id = None if name is None else f"call_{number}"
    return ToolCallDelta(index=0, call=number, call_id=call_id, name=name, arguments=arguments)


def told(stage: FilterStage | HeldIds, events: Sequence[ChoiceEvent]) -> list[ChoiceEvent]:
    """What comes of events that are fed one by one, up to the end."""
    found: list[ChoiceEvent] = []
    for event in events:
        found += stage.feed([event])
        if found and isinstance(found[-1], Finished):
            break
    return found


def text_of(events: Sequence[ChoiceEvent], channel: str = "content") -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta) and e.channel == channel)


def test_a_hit_ends_the_choice_before_it() -> None:
    notes = Notes()
    found = told(notes.stage(), [*text("It is ", "b", "ad", " and", " more"), END])
    assert (text_of(found), found[-1]) == ("It is ", CUT)
    assert notes.hits == ["whole"]


def test_what_is_held_comes_before_the_end() -> None:
    notes = Notes()
    found = told(notes.stage(), [*text("no ba"), END])
    assert (text_of(found), found[-1], notes.hits) == ("no ba", END, [])


def test_a_rule_that_counts_ends_nothing_and_is_told_once() -> None:
    notes = Notes()
    found = told(notes.stage(), [*text("ab ab ", "ab"), END])
    assert (text_of(found), notes.hits) == ("ab ab ab", ["seen"])


def test_reasoning_is_a_text_of_its_own() -> None:
    notes = Notes()
    events = [*text("thus ugh", channel="reasoning"), *text("never"), END]
    found = told(notes.stage(), events)
    assert (text_of(found, "reasoning"), text_of(found), found[-1]) == ("thus ", "", CUT)


def test_a_text_is_released_where_another_begins() -> None:
    found = told(Notes().stage(), [*text("so u", channel="reasoning"), *text("gh"), END])
    assert (text_of(found, "reasoning"), text_of(found), found[-1]) == ("so u", "gh", END)


@pytest.mark.parametrize("hidden", ["ugh", "\\u0075gh", "u\\u0067h"])
def test_arguments_of_calls_are_filtered_with_their_escapes(hidden: str) -> None:
    notes = Notes()
    events = [call(0, "", name="say"), *(call(0, char) for char in f'{{"a": "{hidden}"}}'), END]
    found = told(notes.stage(), events)
    arguments = "".join(e.arguments for e in found if isinstance(e, ToolCallDelta))
    assert (arguments, found[-1], notes.hits) == ('{"a": "', CUT, ["anywhere"])


@pytest.mark.parametrize(("has_json", "reason"), [(True, "content_filter"), (False, "stop")])
def test_escapes_are_read_in_content_that_is_json(has_json: bool, reason: str) -> None:
    stage = FilterStage(
        0, MATCHER, has_json=has_json, on_hit=lambda _rule: None, on_failure=lambda: None
    )
    found = told(stage, [*text('{"a": "\\u0075', 'gh"}'), END])
    assert isinstance(found[-1], Finished)
    assert found[-1].reason == reason


def test_calls_are_texts_of_their_own() -> None:
    events = [call(0, "u", name="a"), call(1, "gh", name="b"), END]
    found = told(Notes().stage(), events)
    assert [
        (e.call, e.arguments) for e in found if isinstance(e, ToolCallDelta) and e.arguments
    ] == [
        (0, "u"),
        (1, "gh"),
    ]
    assert found[-1] == END


def tokens_of(events: Sequence[ChoiceEvent]) -> list[str]:
    return [t.text for e in events if isinstance(e, TextDelta) for t in e.logprobs]


def spoken(*pieces: str) -> list[ChoiceEvent]:
    """Texts with a token each."""
    return [
        TextDelta(
            index=0,
            text=piece,
            logprobs=(TokenText(text=piece, raw=piece.encode(), logprob=0.0),),
        )
        for piece in pieces
    ]


def test_no_token_of_a_hit_is_told() -> None:
    words = Matcher(RULES[:2])
    found = told(Notes().stage(words), [*spoken("so", " u", "gh", " on"), END])
    assert (text_of(found), tokens_of(found)) == ("so ", ["so"])


def test_all_tokens_are_told_where_there_is_no_hit() -> None:
    found = told(Notes().stage(), [*spoken("so", " u", "g", " on"), END])
    assert tokens_of(found) == ["so", " u", "g", " on"]


class Broken(Matcher):
    """Rules that cannot be looked at."""

    def blocked(self, text: str, begin: int, *, is_last: bool) -> None:
        raise RuntimeError("a defect")


def test_a_defect_ends_the_choice(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    with caplog.at_level(logging.ERROR):
        found = told(notes.stage(Broken(RULES)), [*text("anything"), END])
    (end,) = found
    assert isinstance(end, Finished)
    assert (end.reason, type(end.error), notes.num_failures) == ("error", ContentFilterFailed, 1)
    assert "content filter failed" in caplog.text


IDS = [TokenIds(index=0, token_ids=(7,)), *text("a"), TokenIds(index=0, token_ids=(8, 9))]


def test_ids_come_at_the_end() -> None:
    assert told(HeldIds(0), [*IDS, END]) == [
        *text("a"),
        TokenIds(index=0, token_ids=(7, 8, 9)),
        END,
    ]


def test_a_choice_that_was_cut_has_no_ids() -> None:
    assert told(HeldIds(0), [*IDS, CUT]) == [*text("a"), CUT]
