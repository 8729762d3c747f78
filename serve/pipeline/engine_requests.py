"""A generation's candidates as requests to the engine, made one by one as their turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serve.engine.protocol import EngineInfo, EngineRequest, SamplingParams
from serve.engine.request_check import check_request
from serve.errors import ContextLengthExceeded
from serve.pipeline.events import UNBOUNDED_TOKENS, ChatPrompt, GenerateRequest, Generation
from serve.pipeline.prompt_view import engine_prompt_logprobs


def num_candidates(generation: Generation) -> int:
    """Continuations of each prompt that are made, whether they are returned or not."""
    return generation.best_of or generation.n


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt's token ids.

    Attributes:
        is_cut: they are not all that the prompt came to.
    """

    token_ids: Sequence[int]
    is_cut: bool = False


def truncated(token_ids: list[int], generation: Generation, max_model_len: int) -> RenderedPrompt:
    """A prompt as far as it counts: see ``Generation.truncates_to``.

    Where the client asked for as many as fit, what fits is the context less ``max_tokens``, and at
    least one token less than the context.
    """
    size = generation.truncates_to
    if size == UNBOUNDED_TOKENS:
        wanted = generation.sampling.max_tokens
        room = wanted if 1 <= wanted < max_model_len else 1
        size = max_model_len - room
    if size is None or len(token_ids) <= size:
        return RenderedPrompt(token_ids)
    kept = token_ids[:size] if generation.truncates_end else token_ids[-size:]
    return RenderedPrompt(kept, is_cut=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequests:
    """The engine's requests of one generation, by the number of the candidate.

    Attributes:
        prompts: token ids of each.
        sampling: as each candidate has it, but for its seed and its room.
        salt: of the prefix cache.
    """

    info: EngineInfo
    request: GenerateRequest
    prompts: Sequence[Sequence[int]]
    sampling: SamplingParams
    salt: str | None

    def check(self) -> None:
        """Refuse now what the engine would refuse later.

        Raises:
            InvalidRequest: see ``check_request``; ContextLengthExceeded is a kind of it.
        """
        per_prompt = num_candidates(self.request)
        for number in range(len(self.prompts)):
            check_request(self.info, self.of(number * per_prompt))

    def of(self, index: int) -> EngineRequest:
        """The request of one candidate: siblings of one seed draw different, repeatable tokens."""
        number, sibling = divmod(index, num_candidates(self.request))
        prompt, sampling = self.prompts[number], self.sampling
        max_tokens = self._room(prompt)
        return EngineRequest(
            request_id=f"{self.request.request_id}-{index}",
            prompt_token_ids=prompt,
            sampling=replace(
                sampling,
                max_tokens=max_tokens,
                min_tokens=min(sampling.min_tokens, max_tokens),
                seed=None if sampling.seed is None else sampling.seed + sibling,
                num_prompt_logprobs=engine_prompt_logprobs(self.request, sibling),
            ),
            cache_salt=self.salt,
            adapter=self.request.adapter,
        )

    @property
    def max_completion_tokens(self) -> int:
        """Most tokens that all candidates together may come to. Raises ContextLengthExceeded."""
        return sum(map(self._room, self.prompts)) * num_candidates(self.request)

    def _room(self, token_ids: Sequence[int]) -> int:
        """Tokens that may be generated after this prompt: as many as asked for, or as fit.

        Agents ask for a fixed large number; vLLM cuts it to the room, too. Where none are wanted
        the engine makes one all the same, to compute the prompt's log-probabilities.

        Raises:
            ContextLengthExceeded: the prompt leaves no room.
        """
        limit = self.info.max_model_len
        room = limit - len(token_ids)
        if room < 1:
            is_chat = isinstance(self.request.prompts[0], ChatPrompt)
            raise ContextLengthExceeded(
                f"The prompt has {len(token_ids)} tokens; this model's context is {limit} tokens, "
                "completion included. Shorten the prompt.",
                param="messages" if is_chat else "prompt",
            )
        return min(max(1, self.sampling.max_tokens), room)
