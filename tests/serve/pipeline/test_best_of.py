"""The likeliest candidates are told, under the numbers of their choices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from serve.errors import EngineDeadError
from serve.pipeline.best_of import Score, best_of
from serve.pipeline.events import Event, Finished, TextDelta


async def given(events: Sequence[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


def ended(index: int) -> list[Event]:
    return [TextDelta(index=index, text=f"t{index}"), Finished(index=index, reason="stop")]


MEANS = {0: -3.0, 1: -1.0, 2: -2.0, 3: -1.0, 4: -0.5, 5: -4.0}


@pytest.mark.parametrize(
    ("n", "kept"), [(1, ["t1", "t4"]), (2, ["t1", "t2", "t4", "t3"]), (3, None)]
)
async def test_the_best_of_each_prompt_are_told_best_first(n: int, kept: list[str] | None) -> None:
    """Candidates 0 to 2 are of one prompt, 3 to 5 of another; they come in any order."""
    kept = kept or ["t1", "t2", "t0", "t4", "t3", "t5"]
    heads = [ended(index)[0] for index in (3, 0, 1, 4, 2, 5)]
    ends = [ended(index)[1] for index in (5, 0, 1, 2, 4, 3)]
    told = [
        event
        async for event in best_of(
            given([*heads, *ends]), n=n, num_candidates=3, score=lambda i: Score(MEANS[i] * 2, 2)
        )
    ]
    texts = {event.index: event.text for event in told if isinstance(event, TextDelta)}
    assert [texts[index] for index in sorted(texts)] == kept
    assert sorted(texts) == list(range(2 * n))
    assert sum(isinstance(event, Finished) for event in told) == 2 * n


async def test_a_candidate_that_fails_is_told_at_once() -> None:
    error = EngineDeadError("gone")
    failed = Finished(index=4, reason="error", error=error)
    told = [
        event
        async for event in best_of(
            given([failed, *ended(0)]), n=1, num_candidates=3, score=lambda _: Score()
        )
    ]
    assert told == [Finished(index=1, reason="error", error=error)]


def test_a_candidate_without_tokens_has_a_score() -> None:
    assert Score().mean == 0
    assert Score(-6.0, 3).mean == -2
