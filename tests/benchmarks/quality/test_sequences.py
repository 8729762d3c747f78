"""What is scored: windows of a text, evaluation items, and a limit on both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.sequences import Forced, limited, read_items, windows


@given(st.integers(2, 400), st.integers(2, 64))
def test_every_token_but_the_first_is_scored_once_and_after_what_came_before(count, window):
    text = list(range(count))
    found = windows(text, source="t", window=window)
    assert [token for each in found for token in each.scored] == text[1:]
    for each in found:
        joined = list(each.given + each.scored)
        assert each.given
        assert joined == text[joined[0] : joined[-1] + 1]
        assert len(joined) <= window


@given(st.integers(40, 400), st.integers(4, 64))
def test_later_windows_have_at_least_half_before_them(count, window):
    for each in windows(list(range(count)), source="t", window=window)[1:]:
        assert len(each.given) >= window // 2


@pytest.mark.parametrize(("tokens", "window"), [([1], 8), ([1, 2], 1), ([], 8)])
def test_what_cannot_be_cut_is_refused(tokens, window):
    with pytest.raises(ValueError, match="at least 2"):
        windows(tokens, source="t", window=window)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 200))
def test_a_limit_takes_whole_sequences_from_everywhere(lengths, limit):
    every = [
        Forced(source="t", given=(number,), scored=(0,) * length)
        for number, length in enumerate(lengths)
    ]
    found = limited(every, limit)
    assert found
    assert [each.given for each in found] == sorted({each.given for each in found})
    if sum(lengths) <= limit:
        assert found == every


@pytest.mark.parametrize("text", ["", "[]\n", '{"messages": []}\n', "no json\n"])
def test_a_file_of_other_things_is_no_evaluation(tmp_path, text):
    path = tmp_path / "items.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError):
        read_items(path)
