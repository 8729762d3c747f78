"""The engine's requests: seeds, rooms, and prompts that are cut."""

from __future__ import annotations

import pytest

from serve import timeline
from serve.engine.fake import FakeEngine
from serve.engine.protocol import SamplingParams
from serve.engine.settings import EngineSettings
from serve.errors import ContextLengthExceeded
from serve.pipeline.engine_requests import EngineRequests, num_candidates, truncated
from serve.pipeline.events import UNBOUNDED_TOKENS, GenerateRequest, TokensPrompt
from serve.timeline import Timeline

INFO = FakeEngine(EngineSettings(max_model_len=64)).info


def request_of(**given: object) -> GenerateRequest:
    sampling = given.pop("sampling", SamplingParams(max_tokens=8))
    return GenerateRequest(
        prompts=(TokensPrompt((1,)),),
        sampling=sampling,  # type: ignore[arg-type]
        request_id="req-1",
        tenant="tests",
        timeline=Timeline(arrived_at=timeline.now()),
        **given,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("size", "at_end", "max_tokens", "kept"),
    [
        (None, False, 8, range(100)),
        (3, False, 8, (97, 98, 99)),
        (3, True, 8, (0, 1, 2)),
        (100, False, 8, range(100)),
        (UNBOUNDED_TOKENS, False, 8, range(44, 100)),
        (UNBOUNDED_TOKENS, True, 8, range(56)),
        (UNBOUNDED_TOKENS, False, UNBOUNDED_TOKENS, range(37, 100)),
        (UNBOUNDED_TOKENS, False, 64, range(37, 100)),
        (UNBOUNDED_TOKENS, False, 0, range(37, 100)),
    ],
)
def test_a_prompt_is_cut_to_what_counts(
    size: int | None, at_end: bool, max_tokens: int, kept: range | tuple[int, ...]
) -> None:
    request = request_of(
        sampling=SamplingParams(max_tokens=max_tokens), truncates_to=size, truncates_end=at_end
    )
    rendered = truncated(list(range(100)), request, 64)
    assert list(rendered.token_ids) == list(kept)
    assert rendered.is_cut == (len(kept) < 100)


def requests_of(request: GenerateRequest, *prompts: list[int]) -> EngineRequests:
    return EngineRequests(
        info=INFO, request=request, prompts=prompts, sampling=request.sampling, salt=None
    )


def test_siblings_draw_from_seeds_of_their_own_and_prompts_share_them() -> None:
    request = request_of(sampling=SamplingParams(max_tokens=8, seed=5), n=2, best_of=3)
    assert num_candidates(request) == 3
    requests = requests_of(request, [1], [2])
    told = [requests.of(index) for index in range(6)]
    assert [one.sampling.seed for one in told] == [5, 6, 7, 5, 6, 7]
    assert [one.prompt_token_ids for one in told] == [[1]] * 3 + [[2]] * 3
    assert len({one.request_id for one in told}) == 6


def test_the_least_tokens_are_no_more_than_there_is_room_for() -> None:
    request = request_of(sampling=SamplingParams(max_tokens=60, min_tokens=50))
    sampling = requests_of(request, [1] * 40).of(0).sampling
    assert (sampling.min_tokens, sampling.max_tokens) == (24, 24)


def test_one_token_is_made_where_none_is_wanted() -> None:
    request = request_of(sampling=SamplingParams(max_tokens=0), echoes=True)
    assert requests_of(request, [1]).of(0).sampling.max_tokens == 1


def test_a_prompt_without_room_is_refused_before_anything_runs() -> None:
    with pytest.raises(ContextLengthExceeded, match="64 tokens"):
        requests_of(request_of(), [1], [1] * 64).check()
