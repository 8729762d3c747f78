"""The bound on log-probabilities of one answer: known before anything runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest
from serve.pipeline.answer_size import MAX_LOGPROBS, check_answer_size
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation, TextPrompt
from tests.serve.api.house import house, is_free, pipeline_of

INFO = pipeline_of(max_model_len=4096).engine.info


def wish(prompts: int, n: int, max_tokens: int, num_logprobs: int | None) -> Generation:
    sampling = SamplingParams(max_tokens=max_tokens, num_logprobs=num_logprobs)
    return Generation(prompts=(TextPrompt("x"),) * prompts, n=n, sampling=sampling)


@pytest.mark.parametrize(
    ("prompts", "n", "max_tokens", "num_logprobs"),
    [
        (16, 8, UNBOUNDED_TOKENS, None),
        (16, 8, 186, 20),
        (16, 8, 3906, 0),
        (1, 1, UNBOUNDED_TOKENS, 20),
        (1, 5, UNBOUNDED_TOKENS, 20),
    ],
)
def test_what_fits_passes(prompts: int, n: int, max_tokens: int, num_logprobs: int | None) -> None:
    check_answer_size(INFO, wish(prompts, n, max_tokens, num_logprobs))


@pytest.mark.parametrize(
    ("prompts", "n", "max_tokens", "num_logprobs", "total"),
    [
        (16, 8, 187, 20, 16 * 8 * 187 * 21),
        (1, 8, UNBOUNDED_TOKENS, 20, 8 * 4096 * 21),
        (16, 8, 3907, 0, 16 * 8 * 3907),
        (16, 1, 4096, 10, 16 * 4096 * 11),
    ],
)
def test_what_does_not_says_all_the_numbers(
    prompts: int, n: int, max_tokens: int, num_logprobs: int, total: int
) -> None:
    with pytest.raises(InvalidRequest, match=rf"{total} .*at most {MAX_LOGPROBS}.*max_tokens"):
        check_answer_size(INFO, wish(prompts, n, max_tokens, num_logprobs))


def test_logprobs_of_prompts_count_once_they_are_known() -> None:
    plain = wish(4, 2, 1, 0)
    check_answer_size(INFO, plain, 10**9)
    asked = replace(plain, sampling=replace(plain.sampling, num_prompt_logprobs=1))
    check_answer_size(INFO, asked, 249_996)
    with pytest.raises(InvalidRequest, match=r"500002 .*500000"):
        check_answer_size(INFO, asked, 249_997)
    echoed = replace(plain, echoes=True)
    check_answer_size(INFO, echoed, 249_996)
    with pytest.raises(InvalidRequest, match=r"500002 .*8 choices.*499994 of prompts"):
        check_answer_size(INFO, echoed, 249_997)


@pytest.mark.parametrize(
    ("prompts", "n", "max_tokens", "param"),
    [
        (128, 128, 256, None),
        (129, 128, 1, "n"),
        (2048, 8, 256, None),
        (2048, 8, 257, "max_tokens"),
        (1, 128, UNBOUNDED_TOKENS, None),
    ],
)
def test_what_a_whole_answer_holds_is_bounded(
    prompts: int, n: int, max_tokens: int, param: str | None
) -> None:
    generation = wish(prompts, n, max_tokens, None)
    if param is None:
        check_answer_size(INFO, generation)
        return
    with pytest.raises(InvalidRequest) as refused:
        check_answer_size(INFO, generation)
    assert refused.value.param == param


def test_candidates_that_are_not_returned_are_held_too() -> None:
    with pytest.raises(InvalidRequest, match="16512"):
        check_answer_size(INFO, replace(wish(129, 1, 1, None), best_of=128))


def test_one_choice_may_fill_the_longest_context() -> None:
    long = replace(INFO, max_model_len=1_000_000)
    check_answer_size(long, wish(1, 1, UNBOUNDED_TOKENS, 20))
    with pytest.raises(InvalidRequest, match="at most 21000000"):
        check_answer_size(long, wish(1, 2, UNBOUNDED_TOKENS, 20))


@pytest.mark.parametrize("stream", [True, False])
async def test_it_is_refused_before_a_slot_is_taken(*, stream: bool) -> None:
    home = house(pipeline_of(max_model_len=4096, max_waiting=200))
    body = {"model": "demo", "prompt": ["x"] * 16, "n": 8, "logprobs": 20, "max_tokens": 200}
    async with home.client() as client:
        answer = await client.post("/v1/completions", json=body | {"stream": stream})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "logprobs")
    assert home.pipeline.engine.load().num_steps == 0
    assert is_free(home.pipeline)
