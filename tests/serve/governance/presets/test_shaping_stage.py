"""The stage of a shape: content alone, and tokens with their text."""

from __future__ import annotations

from serve.governance.presets.preset_rules import AnswerRules
from serve.governance.presets.shaping import Cut, StripWhitespace
from serve.governance.presets.shaping_stage import ContentStage, shapes_of
from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenText

END = Finished(index=0, reason="stop")


def spoken(*pieces: str) -> list[ChoiceEvent]:
    return [
        TextDelta(
            index=0,
            text=piece,
            logprobs=(TokenText(text=piece, raw=piece.encode(), logprob=0.0),),
        )
        for piece in pieces
    ]


def told(stage: ContentStage, events: list[ChoiceEvent]) -> tuple[str, list[str], ChoiceEvent]:
    found: list[ChoiceEvent] = []
    for event in events:
        found += stage.feed([event])
        if found and isinstance(found[-1], Finished):
            break
    texts = [event for event in found if isinstance(event, TextDelta)]
    tokens = [token.text for event in texts for token in event.logprobs]
    return "".join(event.text for event in texts), tokens, found[-1]


def test_a_cut_ends_the_choice_and_tells_no_more_tokens() -> None:
    stage = ContentStage(0, Cut(9, "word"))
    text, tokens, end = told(stage, [*spoken("One", " two", " thr", "ee"), END])
    assert (text, tokens) == ("One two", ["One", " two"])
    assert end == Finished(index=0, reason="length")


def test_what_is_taken_off_is_still_tokens() -> None:
    text, tokens, end = told(ContentStage(0, StripWhitespace()), [*spoken(" ", "a", " "), END])
    assert (text, tokens, end) == ("a", [" ", "a", " "], END)


def test_reasoning_passes_as_it_is() -> None:
    thought = TextDelta(index=0, text=" so ", channel="reasoning")
    assert ContentStage(0, StripWhitespace()).feed([thought]) == [thought]


def test_shapes_come_in_order() -> None:
    rules = AnswerRules(
        name="a",
        verdict="answer:a",
        strip=frozenset({"whitespace", "code_fence", "reasoning"}),
        max_chars=5,
    )
    names = [type(shape).__name__ for shape in shapes_of(rules)]
    assert names == ["StripFence", "StripWhitespace", "Cut"]
