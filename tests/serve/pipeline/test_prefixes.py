"""The end of a text that could still become a string, against the plain definition."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from serve.pipeline.prefixes import Prefixes


def _by_definition(strings: list[str], text: str) -> int:
    longest = max(map(len, strings)) - 1
    return next(
        length
        for length in range(min(len(text), longest), -1, -1)
        if any(len(s) > length and s.startswith(text[len(text) - length :]) for s in strings)
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=4),
    st.lists(st.text("abc", max_size=8), max_size=6),
)
def test_it_is_what_the_definition_says_at_every_cut(strings: list[str], pieces: list[str]) -> None:
    prefixes, text = Prefixes(strings), ""
    for piece in pieces:
        text += piece
        assert prefixes.feed(piece) == _by_definition(strings, text)


class _Counted(str):
    """A string that counts how often one of its characters is asked for."""

    num_asked = 0

    def __getitem__(self, index: object) -> str:
        _Counted.num_asked += 1
        return super().__getitem__(index)  # type: ignore[index]


def test_long_strings_of_one_letter_cost_no_more_than_short_ones() -> None:
    strings = [_Counted("a" * 1023 + "b"), _Counted("b" + "a" * 1022 + "c")]
    prefixes = Prefixes(strings)
    for _ in range(5000):
        prefixes.feed("a")
    assert _Counted.num_asked < 10 * 5000
