"""Stop strings cut at the earliest match, and no part of one is ever sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenText
from serve.pipeline.stop import StopStrings, stop_patterns

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


def token_at(offset: int, text: str, token_id: int | None = None) -> TokenText:
    return TokenText(text=text, raw=text.encode(), logprob=-0.5, offset=offset, token_id=token_id)


def test_log_probabilities_are_held_back_with_their_text() -> None:
    token = token_at(0, "<")
    stop = StopStrings(["<end>"])
    assert stop.feed([TextDelta(index=0, text="<", logprobs=(token,))]) == []
    more = token_at(1, "b>")
    (event,) = stop.feed([TextDelta(index=0, text="b>", logprobs=(more,))])
    assert event == TextDelta(index=0, text="<b>", logprobs=(token, more))


def test_what_is_held_at_the_end_comes_with_its_log_probabilities() -> None:
    token = token_at(0, "<")
    stop = StopStrings(["<end>"])
    stop.feed([TextDelta(index=0, text="<", logprobs=(token,))])
    end = Finished(index=0, reason="length")
    assert stop.feed([end]) == [TextDelta(index=0, text="<", logprobs=(token,)), end]


def test_tokens_beyond_the_cut_are_left_out_and_one_that_it_divides_is_not() -> None:
    tokens = (token_at(0, "one"), token_at(3, " two."), token_at(8, " three"))
    stop = StopStrings(["wo"])
    text, end = stop.feed([TextDelta(index=0, text="one two. three", logprobs=tokens)])
    assert text == TextDelta(index=0, text="one t", logprobs=tokens[:2])
    assert end == Finished(index=0, reason="stop")


def test_a_token_without_text_waits_for_what_stands_before_it_alone() -> None:
    special = TokenText(text="</s>", raw=b"", logprob=0.0, token_id=2, offset=1)
    stop = StopStrings(["ab"])
    event = TextDelta(index=0, text="", logprobs=(special,))
    assert stop.feed([TextDelta(index=0, text="x")]) == [TextDelta(index=0, text="x")]
    assert stop.feed([event]) == [event]
    assert stop.feed([TextDelta(index=0, text="a")]) == []
    assert stop.feed([replace(event, logprobs=(replace(special, offset=2),))]) == []
    assert stop.feed([TextDelta(index=0, text="b")]) == [Finished(index=0, reason="stop")]


SPECIAL = {"<e>": 7, "<e>n": 8, "<f>": 9, "": 10}


@pytest.mark.parametrize(
    ("stop", "marked"),
    [
        ("<e>", {"{7}", "<e>"}),
        ("x<e>", {"x{7}", "x<e>"}),
        ("<e>\n", {"{7}\n", "<e>\n"}),
        ("<e><f>", {"{7}{9}", "{7}<f>", "<e>{9}", "<e><f>"}),
        ("<e><e><e><e>", {"{7}{7}{7}{7}", "<e><e><e><e>"}),
        ("<e>n", {"{8}", "<e>n"}),  # the longest name, as a tokenizer would read it
        ("<e", {"<e"}),  # a part of a name is plain text alone
        (".*+", {".*+"}),
    ],
)
def test_a_stop_string_spells_special_tokens(stop: str, marked: set[str]) -> None:
    patterns = stop_patterns([stop], SPECIAL)
    wanted = set()
    for text in marked:
        for token_id, mark in patterns.marks.items():
            text = text.replace(f"{{{token_id}}}", mark)  # noqa: PLW2901
        wanted.add(text)
    assert set(patterns.strings) == wanted
    assert "" not in patterns.strings


def marked(*pieces: str | int, stop: str) -> tuple[str, bool]:
    """The text that passes of plain pieces and ids of special tokens, and whether it ended."""
    patterns = stop_patterns([stop], SPECIAL)
    stage = StopStrings(patterns.strings, patterns.marks)
    text = ""
    for piece in pieces:
        plain = patterns.marks.get(piece, "") if isinstance(piece, int) else piece
        events = stage.feed([TextDelta(index=0, text=plain)])
        text += text_of(events)
        if events and isinstance(events[-1], Finished):
            return text, True
    return text + text_of(stage.feed([Finished(index=0, reason="length")])), False


@pytest.mark.parametrize(
    ("pieces", "stop", "wanted"),
    [
        (("a", 7, "b"), "<e>", ("a", True)),
        (("a<", "e", ">b"), "<e>", ("a", True)),
        (("fo", "o", 7), "foo<e>", ("", True)),
        (("foo", "<e>"), "foo<e>", ("", True)),
        (("foo", 9, 7), "foo<e>", ("", True)),  # the other has no text, and no part in it
        ((7, "x"), "<e>\n", ("x", False)),
        ((7, "\nx"), "<e>\n", ("", True)),
        ((7, "\n"), "\n", ("", True)),
        ((7, 9, 7, "x"), "<e><f>", ("", True)),
        ((7, "<f>"), "<e><f>", ("", True)),
        ((7, 7, 9), "<f>", ("", True)),
        (("a", 7, "b"), "<", ("ab", False)),
        (("a", 7, "b"), "e>", ("ab", False)),
        (("a", 7, "b"), "ab", ("", True)),
        (("a", 8, "b"), "<e>", ("ab", False)),
    ],
)
def test_special_tokens_stop_where_a_stop_string_spells_them(
    pieces: tuple[str | int, ...], stop: str, wanted: tuple[str, bool]
) -> None:
    assert marked(*pieces, stop=stop) == wanted


def test_the_log_probability_of_a_token_that_stops_is_left_out() -> None:
    patterns = stop_patterns(["x<e>"], SPECIAL)
    stage = StopStrings(patterns.strings, patterns.marks)
    mark = patterns.marks[7]
    special = TokenText(text="<e>", raw=b"", logprob=0.0, token_id=7, offset=1)
    first = token_at(0, "y", 1)
    events = stage.feed([TextDelta(index=0, text="y", logprobs=(first,))])
    events = [*events, *stage.feed([TextDelta(index=0, text=mark, logprobs=(special,))])]
    assert events == [
        TextDelta(index=0, text="y", logprobs=(first,)),
        TextDelta(index=0, text="", logprobs=(special,)),
    ]
    last = (token_at(1, "x", 2), replace(special, offset=2))
    (end,) = stage.feed([TextDelta(index=0, text="x" + mark, logprobs=last)])
    assert end == Finished(index=0, reason="stop")
