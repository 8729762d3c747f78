"""Stop strings cut at the earliest match, and no part of one is ever sent."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from serve.pipeline.stop import StopStrings

LETTERS = st.text(alphabet="ab", max_size=24)


def run(pieces: list[str], strings: list[str]) -> tuple[str, bool]:
    stop = StopStrings(strings)
    text = "".join(stop.feed(piece) for piece in pieces)
    return text + ("" if stop.is_stopped else stop.finish()), stop.is_stopped


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
        sent += checker.feed(char)
        assert stop not in sent
    if checker.is_stopped:
        assert text.startswith(sent + stop)


def test_without_strings_everything_passes_at_once() -> None:
    assert run(["a", "b"], []) == ("ab", False)


def test_what_was_held_back_comes_out_at_the_end() -> None:
    stop = StopStrings(["<end>"])
    assert stop.feed("text <en") == "text "
    assert stop.finish() == "<en"


def test_after_a_stop_everything_is_swallowed() -> None:
    stop = StopStrings(["."])
    assert stop.feed("one. two") == "one"
    assert stop.feed("three") == ""
