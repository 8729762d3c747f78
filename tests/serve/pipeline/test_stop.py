"""Stop strings cut at the earliest match, and no part of one is ever sent."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenText
from serve.pipeline.stop import StopStrings

LETTERS = st.text(alphabet="ab", max_size=24)


def text_of(events: Sequence[ChoiceEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def feed(stop: StopStrings, *pieces: str) -> Sequence[ChoiceEvent]:
    return stop.feed([TextDelta(index=0, text=piece) for piece in pieces])


def run(pieces: list[str], strings: list[str]) -> tuple[str, bool]:
    """The text that passes, and whether a stop string ended it."""
    stop = StopStrings(strings)
    text = ""
    for piece in pieces:
        events = feed(stop, piece)
        text += text_of(events)
        if events and isinstance(events[-1], Finished):
            assert events[-1].reason == "stop"
            return text, True
    events = stop.feed([Finished(index=0, reason="length")])
    assert events[-1] == Finished(index=0, reason="length")
    return text + text_of(events), False


@given(text=LETTERS, strings=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3))
@example(text="aab", strings=["ab", "aab"])
def test_character_by_character_equals_the_plain_search(text: str, strings: list[str]) -> None:
    stopped_text, is_stopped = run(list(text), strings)
    # Reading character by character, the first string to be complete wins.
    ends = [(text.find(s) + len(s), text.find(s)) for s in strings if s in text]
    assert is_stopped == bool(ends)
    first_end = min((end for end, _ in ends), default=None)
    expected = (
        text if first_end is None else text[: min(at for end, at in ends if end == first_end)]
    )
    assert stopped_text == expected


@given(text=LETTERS, stop=st.text(alphabet="ab", min_size=2, max_size=4))
def test_no_part_of_a_stop_string_is_sent_early(text: str, stop: str) -> None:
    checker = StopStrings([stop])
    sent = ""
    for char in text:
        events = feed(checker, char)
        sent += text_of(events)
        assert stop not in sent
        if events and isinstance(events[-1], Finished):
            assert text.startswith(sent + stop)
            break


def test_without_strings_everything_passes_at_once() -> None:
    assert run(["a", "b"], []) == ("ab", False)


def test_what_was_held_back_comes_out_at_the_end() -> None:
    stop = StopStrings(["<end>"])
    assert text_of(feed(stop, "text <en")) == "text "
    end = Finished(index=0, reason="stop")
    assert stop.feed([end]) == [TextDelta(index=0, text="<en"), end]


def test_after_a_stop_everything_is_swallowed() -> None:
    events = feed(StopStrings(["."]), "one. two", "three")
    assert events == [TextDelta(index=0, text="one"), Finished(index=0, reason="stop")]


def test_only_the_answers_own_text_is_searched() -> None:
    thought = TextDelta(index=0, text="stop.", channel="reasoning")
    assert StopStrings(["."]).feed([thought]) == [thought]


def test_log_probabilities_pass_while_their_text_is_held_back() -> None:
    token = TokenText(text="<", raw=b"<", logprob=-0.5)
    (event,) = StopStrings(["<end>"]).feed([TextDelta(index=0, text="<", logprobs=(token,))])
    assert event == TextDelta(index=0, text="", logprobs=(token,))
