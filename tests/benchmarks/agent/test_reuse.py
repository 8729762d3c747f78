"""The arithmetic of reuse, each by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.agent.reuse import Played, common_prefix, figures, pairs, reusable, share_reused


def turn(number: int = 1, conversation: str = "Ada", **values: object) -> Played:
    prompt_ids = list(range(10 * number))
    given = {
        "conversation": conversation,
        "number": number,
        "first_token_s": 0.1 * number,
        "first_event_s": 7.0,
        "first_text_s": None,
        "total_s": 1.0,
        "prompt_tokens": 10 * number,
        "completion_tokens": 4,
        "cached_tokens": 0,
        "finish_reason": "stop",
        "num_calls": 0,
        "is_kept_whole": True,
        "prompt_ids": prompt_ids,
        "output_ids": None,
    }
    return Played(**(given | values))


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_prefix(one, other):
    size = common_prefix(one, other)
    assert one[:size] == other[:size]
    assert one[size : size + 1] != other[size : size + 1] or size == len(one) == len(other)


def test_prompt_and_answer_but_for_its_last_token_are_reusable():
    assert reusable(turn(1), turn(2)) == 10 + 3


def test_no_more_than_all_but_one_token_of_the_prompt():
    assert reusable(turn(1, completion_tokens=90), turn(2)) == 19


def test_an_answer_that_is_not_in_the_history_is_not_reusable():
    assert reusable(turn(1, is_kept_whole=False), turn(2)) == 10


def test_a_history_that_was_edited_is_reusable_up_to_there():
    assert reusable(turn(1), turn(2, prompt_ids=[0, 1, 2, 99, *range(4, 20)])) == 3


def test_ids_that_the_server_tells_are_compared():
    before = turn(1, output_ids=[10, 11, 12, 13])
    assert reusable(before, turn(2)) == 13
    assert reusable(turn(1, output_ids=[10, 77, 12]), turn(2)) == 11


def test_a_turn_is_paired_with_the_one_before_it_in_its_conversation():
    turns = [turn(n, name) for n in (1, 2, 3) for name in ("Ada", "Boole")]
    assert [(a.conversation, a.number, b.conversation, b.number) for a, b in pairs(turns)] == [
        ("Ada", 1, "Ada", 2),
        ("Ada", 2, "Ada", 3),
        ("Boole", 1, "Boole", 2),
        ("Boole", 2, "Boole", 3),
    ]


def test_share_reused():
    turns = [turn(1), turn(2, cached_tokens=13), turn(3, cached_tokens=10)]
    assert share_reused(turns) == pytest.approx((13 + 10) / (13 + 23))


def test_more_than_reusable_does_not_make_up_for_less():
    turns = [turn(1), turn(2, cached_tokens=19), turn(3, cached_tokens=17)]
    assert share_reused(turns) == pytest.approx((13 + 17) / (13 + 23))


def test_share_reused_is_unknown_where_one_answer_does_not_tell():
    assert share_reused([turn(1), turn(2, cached_tokens=None)]) is None
    assert share_reused([turn(1)]) is None


def test_figures():
    turns = [turn(number, cached_tokens=5) for number in range(1, 11)]
    found = figures(turns)
    assert found["ttft_first_ms"] == pytest.approx(100)
    assert found["ttft_early_ms"] == pytest.approx(300)  # of 200, 300 and 400
    assert found["ttft_late_ms"] == pytest.approx(900)  # of 800, 900 and 1000
    assert found["ttft_growth"] == pytest.approx(3)
    assert found["ttft_ms_p50"] == pytest.approx(600)
    assert found["total_s"] == pytest.approx(10)
    assert found["prompt_tokens"] == 550
    assert found["tokens_computed"] == 500
    assert found["completion_tokens"] == 40
    assert found["last_prompt_tokens"] == 100
    assert (found["num_cut_answers"], found["num_unlike_prompts"]) == (0, 0)


def test_what_does_not_fit_is_counted():
    found = figures([turn(1, is_kept_whole=False), turn(2, prompt_tokens=19)])
    assert (found["num_cut_answers"], found["num_unlike_prompts"]) == (1, 1)


def test_figures_that_cannot_be_known_are_none():
    found = figures([turn(1, cached_tokens=None)])
    assert found["ttft_early_ms"] is None
    assert found["ttft_growth"] is None
    assert found["tokens_computed"] is None
    assert found["share_reused"] is None


def test_token_ids_are_not_in_the_json():
    values = turn(2).as_json()
    assert values["prompt_tokens"] == 20
    assert not {"prompt_ids", "output_ids"} & set(values)
