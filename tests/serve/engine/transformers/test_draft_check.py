"""Guesses change the number of steps and nothing else: not a token, a logprob or a draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.draft import Draft
from serve.engine.transformers.draft_check import sample_segments
from serve.engine.transformers.prompt_lookup import PromptLookup
from serve.engine.transformers.scheduler import Scheduler
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.errors import InternalError
from tests.serve.engine.transformers.made_up_model import VOCAB_SIZE, Answer, Scripted, Steps

STOP = VOCAB_SIZE - 1


class Mask:
    """After each token, those of three residues; where the sum is a multiple of 3, one alone."""

    def __init__(self, accepted: Sequence[int] = ()) -> None:
        self.accepted = list(accepted)

    def _allowed(self) -> list[int]:
        total = sum(self.accepted)
        if total % 3 == 0:
            return [total % STOP]
        return [token for token in range(VOCAB_SIZE) if token % 4 != total % 4]

    def prepare(self) -> None:
        pass

    def allows(self, token_id: int) -> bool:
        return token_id in self._allowed()

    def apply(self, logits: torch.Tensor) -> None:
        is_allowed = torch.zeros(VOCAB_SIZE, dtype=torch.bool)
        is_allowed[self._allowed()] = True
        logits.masked_fill_(~is_allowed, -math.inf)

    def accept(self, token_id: int) -> None:
        assert self.allows(token_id)
        self.accepted.append(token_id)

    def ahead(self, token_ids: Sequence[int]) -> list[Mask]:
        masks = [self]
        for token_id in token_ids:
            if not masks[-1].allows(token_id):
                break
            masks.append(Mask([*masks[-1].accepted, token_id]))
        return masks[1:]

    def forced(self) -> list[int]:
        mask, forced = Mask(self.accepted), []
        while len(allowed := mask._allowed()) == 1 and len(forced) < 5:
            forced += allowed
            mask.accept(allowed[0])
        return forced

    def close(self) -> None:
        pass


SAMPLING = st.fixed_dictionaries(
    {
        "max_tokens": st.integers(1, 24),
        "temperature": st.sampled_from([0.0, 0.3, 1.0, 2.0]),
        "top_p": st.sampled_from([1.0, 0.8]),
        "top_k": st.sampled_from([0, 3]),
        "min_p": st.sampled_from([0.0, 0.1]),
        "seed": st.integers(-9, 9),
        "presence_penalty": st.sampled_from([0.0, 0.0, 1.0]),
        "frequency_penalty": st.sampled_from([0.0, 0.0, -0.7]),
        "repetition_penalty": st.sampled_from([1.0, 1.0, 1.3]),
        "logit_bias": st.sampled_from([{}, {3: 2.0}]),
        "num_logprobs": st.sampled_from([None, None, 2]),
        "min_tokens": st.sampled_from([0, 1, 7]),
        "bad_words": st.sampled_from([(), ((1, 2), (4,))]),
    }
)
REQUESTS = st.tuples(
    st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=1, max_size=16), SAMPLING, st.booleans()
)
SCRIPTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=12)


def sequence(prompt: Sequence[int], sampling: dict[str, Any], *, is_masked: bool) -> SequenceState:
    sampling = sampling | {"min_tokens": min(sampling["min_tokens"], sampling["max_tokens"])}
    if is_masked:  # what a mask forces may not be forbidden
        sampling = sampling | {"bad_words": (), "min_tokens": 0}
    return SequenceState(
        request=EngineRequest(
            request_id="r", prompt_token_ids=prompt, sampling=SamplingParams(**sampling)
        ),
        stop_token_ids=frozenset({STOP}),
        mask=Mask() if is_masked else None,
    )


def steps(num_blocks: int = 40, max_num_seqs: int = 4) -> Steps:
    return Steps(
        Scheduler(
            num_blocks=num_blocks,
            block_size=4,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_seqs + 16,
            is_repeatable=True,
        )
    )


@given(
    requests=st.lists(REQUESTS, min_size=1, max_size=3),
    scripts=st.lists(SCRIPTS, min_size=3, max_size=3),
    num_blocks=st.integers(11, 24),
)
def test_answers_are_those_without_guesses(
    requests: list[tuple[list[int], dict[str, Any], bool]],
    scripts: list[list[tuple[int, int]]],
    num_blocks: int,
) -> None:
    def begun() -> list[SequenceState]:
        return [
            sequence(prompt, sampling, is_masked=is_masked)
            for prompt, sampling, is_masked in requests
        ]

    plain = steps().answers(begun())
    guessing = begun()
    for one, told, script in zip(guessing, plain, scripts, strict=False):
        whole = [*one.request.prompt_token_ids, *told[0]]
        scripted: Any = Scripted(lambda whole=whole: whole, script)  # type: ignore[misc]
        one.lookup = scripted if script else PromptLookup(9)
    assert steps(num_blocks).answers(guessing) == plain


def answer(lookup: Any, **sampling: Any) -> tuple[Answer, Steps]:
    one = sequence(
        [1, 2, 3], {"min_tokens": 0, "max_tokens": 60, "seed": 1} | sampling, is_masked=False
    )
    one.stop_token_ids = frozenset()
    one.lookup = lookup
    run = steps()
    (told,) = run.answers([one])
    return told, run


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_right_guesses_save_their_steps(temperature: float) -> None:
    plain, alone = answer(None, temperature=temperature)
    whole = [1, 2, 3, *plain[0]]
    told, run = answer(Scripted(lambda: whole, [(9, 0)]), temperature=temperature)
    assert told == plain
    assert run.guesses.num_right == run.guesses.num_guessed
    assert run.num_steps == alone.num_steps - run.guesses.num_right
    assert run.num_steps < alone.num_steps / 5


def test_draws_of_wrong_guesses_are_not_lost() -> None:
    plain, _ = answer(None, temperature=1.5)
    whole = [1, 2, 3, *plain[0]]
    told, run = answer(Scripted(lambda: whole, [(0, 5), (2, 3)]), temperature=1.5)
    assert told == plain
    assert run.guesses.num_right < run.guesses.num_guessed


def test_a_guess_whose_row_fails_is_left_to_a_step_of_its_own() -> None:
    one = sequence([1], {"min_tokens": 0, "max_tokens": 9, "temperature": 0.0}, is_masked=False)
    segment = Segment(one, 0, 3, Draft((4, 5)))
    logits = torch.zeros(3, VOCAB_SIZE)
    logits[0, 4] = logits[1, 5] = 1
    logits[1, 7] = math.nan
    ((_, token),) = sample_segments(logits.clone(), [segment])
    assert (token.token_id, token.error) == (4, None)
    ((_, failed),) = sample_segments(logits[1:], [Segment(one, 0, 2, Draft((5,)))])
    assert isinstance(failed.error, InternalError)


def test_no_row_is_sampled_behind_a_wrong_guess() -> None:
    one = sequence([1], {"min_tokens": 0, "max_tokens": 9, "seed": 1}, is_masked=False)
    other = sequence([1], {"min_tokens": 0, "max_tokens": 9, "seed": 1}, is_masked=False)
    logits = torch.zeros(4, VOCAB_SIZE)
    logits[range(4), [4, 5, 6, 7]] = 100
    drafts = [Segment(one, 0, 4, Draft((4, 9, 6)))]
    assert [token.token_id for _, token in sample_segments(logits, drafts)] == [4, 5]
    assert [other.source.random() for _ in range(3)][-1] == one.source.random()


def test_a_draft_is_cut() -> None:
    whole = Draft((1, 2, 3), (Mask(), Mask(), Mask()))
    assert whole.first(5) is whole
    assert whole.first(2) == Draft((1, 2), whole.masks[:2])
