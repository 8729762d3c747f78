"""What is known of earlier prompts: the longest prefix, by owner, within a bound of tokens."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.prefix.known import (
    MAX_ANSWERS,
    MAX_PROMPTS,
    PROMPT_TOKENS,
    KnownAnswer,
    KnownPrompts,
    common,
    has_in_common,
    packed,
)
from serve.pipeline.prefix.parts import Parts
from tests.serve.pipeline.prefix.asking import shared

PARTS = Parts(is_chat=False)
IDS = st.lists(st.integers(0, 3), max_size=40)


@given(IDS, IDS)
def test_the_common_beginning_is_the_true_one(left: list[int], right: list[int]) -> None:
    assert common(packed(left), packed(right)) == shared(left, right)


@given(st.lists(IDS, min_size=1, max_size=6), IDS)
def test_the_longest_prefix_is_that_of_the_nearest_prompt(
    prompts: list[list[int]], new: list[int]
) -> None:
    known = KnownPrompts()
    for prompt in prompts:
        known.add("t", "o", packed(prompt), PARTS)
    match = known.longest("o", packed(new))
    assert (match.num_tokens if match else 0) == max(shared(new, prompt) for prompt in prompts)


def test_an_answer_goes_on_behind_its_prompt() -> None:
    known = KnownPrompts()
    prompt = known.add("t", "o", packed([1, 2, 3]), PARTS)
    for ids in ([4, 5, 6], [4, 7]):
        known.answered("t", prompt, KnownAnswer(packed(ids)))
    match = known.longest("o", packed([1, 2, 3, 4, 5, 9]))
    assert match is not None
    assert (match.num_tokens, match.is_whole) == (5, False)
    assert match.answer is not None
    assert match.answer.ids == packed([4, 5, 6])
    whole = known.longest("o", packed([1, 2, 3, 4, 7, 9]))
    assert whole is not None
    assert (whole.num_tokens, whole.is_whole) == (5, True)


def test_a_prompt_that_goes_on_takes_the_place_of_the_older_one() -> None:
    known = KnownPrompts()
    first = known.add("t", "o", packed(range(10)), PARTS)
    known.answered("t", first, KnownAnswer(packed([20, 21])))
    known.add("t", "o", packed([*range(10), 20, 21, 30]), PARTS)
    assert known.num_tokens == 13 + PROMPT_TOKENS
    again = known.add("t", "o", packed([*range(10), 20, 21, 30]), PARTS)
    assert known.num_tokens == 13 + PROMPT_TOKENS
    known.answered("t", first, KnownAnswer(packed([1])))  # it is forgotten
    assert known.num_tokens == 13 + PROMPT_TOKENS
    known.answered("t", again, KnownAnswer(packed([1])))
    assert known.num_tokens == 14 + PROMPT_TOKENS


def test_a_prompt_with_other_answers_stays() -> None:
    known = KnownPrompts()
    first = known.add("t", "o", packed(range(10)), PARTS)
    known.answered("t", first, KnownAnswer(packed([20, 21])))
    known.add("t", "o", packed([*range(10), 22, 23]), PARTS)
    match = known.longest("o", packed([*range(10), 20, 21]))
    assert match is not None
    assert match.num_tokens == 12


def test_owners_know_nothing_of_each_other() -> None:
    known = KnownPrompts()
    known.add("t", "o", packed(range(10)), PARTS)
    assert known.longest("p", packed(range(10))) is None


def test_prompts_and_answers_of_an_owner_are_bounded() -> None:
    known = KnownPrompts()
    for number in range(MAX_PROMPTS + 5):
        prompt = known.add("t", "o", packed([number, 1, 2]), PARTS)
    assert known.longest("o", packed([4, 1])) is None
    assert known.longest("o", packed([5, 1])) is not None
    before = known.num_tokens
    for number in range(MAX_ANSWERS + 5):
        known.answered("t", prompt, KnownAnswer(packed([number])))
    assert known.num_tokens == before + MAX_ANSWERS


def test_the_tenant_that_has_the_most_gives_way() -> None:
    """Its many salts of its own do not help it."""
    room = 10 * (PROMPT_TOKENS + 100)
    known = KnownPrompts(max_tokens=room)
    known.add("modest", "m", packed(range(100)), PARTS)
    for number in range(50):
        known.add("greedy", f"salt {number}", packed([number, *range(99)]), PARTS)
        assert known.num_tokens <= room
    assert known.longest("m", packed(range(100))) is not None
    assert known.longest("salt 0", packed([0])) is None
    assert known.longest("salt 49", packed([49])) is not None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 9)), max_size=40))
def test_the_count_of_tokens_is_true(steps: list[tuple[int, int, int]]) -> None:
    known = KnownPrompts(max_tokens=6 * PROMPT_TOKENS)
    prompts = []
    for tenant, size, pick in steps:
        if pick > 6 and prompts:
            known.answered(*random.Random(pick).choice(prompts), KnownAnswer(packed(range(size))))
            continue
        ids = packed([pick, *range(size)])
        prompts.append((str(tenant), known.add(str(tenant), f"{tenant}{size % 2}", ids, PARTS)))
        held = [prompt for owned in known._owners.values() for prompt in owned]
        assert known.num_tokens == sum(prompt.num_tokens for prompt in held)
        assert known.num_tokens <= 6 * PROMPT_TOKENS
        assert all(known._owners.values())
        assert len(held) == sum(len(t.prompts) for t in known._tenants.values())


def test_a_text_that_goes_on_as_before_is_found() -> None:
    old = packed([*range(10), 500, *range(100, 200)])
    new = packed([*range(10), 600, 601, *range(100, 150), *range(300, 400)])
    assert has_in_common(old, new, 10)
    assert not has_in_common(old, packed(range(300, 400)), 0)
    assert not has_in_common(packed(range(12)), packed(range(12)), 2)  # too little to tell
