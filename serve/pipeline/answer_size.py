"""The size of an answer's log-probabilities, bounded before anything is done for it.

Text is small: a few bytes for each token. Log-probabilities are not: with 20 candidates a token
takes 1 to 2 kB of JSON, and as much again for each choice. A stream is bounded, too, because what
its reader does not take waits in the server's memory.
"""

from __future__ import annotations

from typing import Final

from serve.engine.protocol import EngineInfo
from serve.errors import InvalidRequest
from serve.pipeline.events import Generation

MAX_LOGPROBS: Final = 500_000
"""Most log-probabilities in one answer: about 40 MB of JSON."""

MAX_PER_TOKEN: Final = 21
"""The chosen token's, and those of 20 candidates (SamplingParams.num_logprobs)."""


def check_answer_size(info: EngineInfo, generation: Generation) -> None:
    """Refuse an answer that could hold too many log-probabilities.

    One choice may always fill the context.

    Raises:
        InvalidRequest: choices x tokens x (1 + candidates) are more than MAX_LOGPROBS, or than one
            choice of the whole context has, whichever is larger.
    """
    sampling = generation.sampling
    if sampling.num_logprobs is None:
        return
    num_choices = len(generation.prompts) * generation.n
    num_tokens = min(sampling.max_tokens, info.max_model_len)
    per_token = 1 + sampling.num_logprobs
    total = num_choices * num_tokens * per_token
    limit = max(MAX_LOGPROBS, info.max_model_len * MAX_PER_TOKEN)
    if total > limit:
        raise InvalidRequest(
            f"The answer could have {total} log-probabilities ({num_choices} choices of up to "
            f"{num_tokens} tokens with {per_token} each): at most {limit}. Set a smaller "
            "max_tokens, or ask for fewer choices or candidates at once.",
            param="logprobs",
        )
