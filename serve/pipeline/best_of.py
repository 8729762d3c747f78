"""The likeliest of several candidates for each prompt (OpenAI's ``best_of``).

Candidates are held until all of their prompt are over: then the ``n`` with the highest mean
log-probability of a token are told, likeliest first, as choices of their own numbers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from serve.pipeline.events import (
    CacheExplained,
    ChoiceEvent,
    Event,
    Finished,
    PromptTokens,
    Queued,
    Started,
)


@dataclass(slots=True)
class Score:
    """The likelihood of a candidate so far.

    Attributes:
        total: of the natural logs of its tokens' probabilities.
    """

    total: float = 0.0
    num_tokens: int = 0

    @property
    def mean(self) -> float:
        return self.total / self.num_tokens if self.num_tokens else 0.0


@dataclass(slots=True)
class _Candidates:
    """The candidates of one prompt."""

    events: dict[int, list[ChoiceEvent]] = field(default_factory=dict)
    num_finished: int = 0


async def best_of(
    events: AsyncIterator[Event], *, n: int, num_candidates: int, score: Callable[[int], Score]
) -> AsyncGenerator[Event, None]:
    """The events of the best candidates, under the numbers of their choices.

    A candidate that fails is told at once: its error is the request's.

    Args:
        events: of all candidates; number ``p * num_candidates + k`` is the k-th of prompt p.
        n: of each prompt that are kept.
        score: of the candidate of that number.
    """
    of_prompt: dict[int, _Candidates] = {}
    async for event in events:
        if isinstance(event, Started | Queued | PromptTokens | CacheExplained):
            yield event
            continue
        prompt = event.index // num_candidates
        candidates = of_prompt.setdefault(prompt, _Candidates())
        if isinstance(event, Finished):
            if event.reason == "error":
                yield replace(event, index=prompt * n)
                continue
            candidates.num_finished += 1
        candidates.events.setdefault(event.index, []).append(event)
        if candidates.num_finished < num_candidates:
            continue
        del of_prompt[prompt]
        best = sorted(candidates.events, key=lambda index: (-score(index).mean, index))[:n]
        for rank, index in enumerate(best):
            for told in candidates.events[index]:
                yield replace(told, index=prompt * n + rank)
