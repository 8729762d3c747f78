"""The size of an answer, bounded before anything is done for it.

Text is small: tens of bytes for each token while it is held. Log-probabilities are not: with 20
candidates a token takes 1 to 2 kB of JSON, and as much again for each choice. A stream is bounded,
too, because what its reader does not take waits in the server's memory.
"""

from __future__ import annotations

from typing import Final

from serve.engine.protocol import EngineInfo
from serve.errors import InvalidRequest
from serve.pipeline.events import Generation

MAX_CHOICES: Final = 16_384
"""Most choices of one answer: about a kilobyte is held for each."""

MAX_TOKENS: Final = 4_194_304
MAX_CONTEXTS: Final = 128
"""Most tokens that one answer may have: so many, or so many contexts, whichever is larger."""

MAX_LOGPROBS: Final = 500_000
"""Most log-probabilities in one answer: about 40 MB of JSON."""

MAX_PER_TOKEN: Final = 21
"""The chosen token's, and those of 20 candidates (SamplingParams.num_logprobs)."""


def check_answer_size(info: EngineInfo, generation: Generation, prompt_tokens: int = 0) -> None:
    """Refuse an answer that could be larger than the server holds.

    One choice may always fill the context.

    Args:
        prompt_tokens: of all prompts together, once they are known; 0 before.

    Raises:
        InvalidRequest: more choices than MAX_CHOICES, more tokens than MAX_TOKENS and MAX_CONTEXTS
            allow, or more log-probabilities (places x (1 + candidates)) than MAX_LOGPROBS or than
            one choice of the whole context has, whichever is larger.
    """
    num_prompts = len(generation.prompts)
    per_prompt = generation.best_of or generation.n
    num_choices = num_prompts * per_prompt
    if num_choices > MAX_CHOICES:
        raise InvalidRequest(
            f"The request has {num_prompts} prompts with {per_prompt} choices each (n, best_of), "
            f"which is {num_choices}: at most {MAX_CHOICES}. Ask for fewer at once.",
            param="n",
        )
    num_tokens = min(generation.sampling.max_tokens, info.max_model_len)
    most = max(MAX_TOKENS, MAX_CONTEXTS * info.max_model_len)
    if num_choices * num_tokens > most:
        raise InvalidRequest(
            f"The answer could have {num_choices * num_tokens} tokens ({num_choices} choices of up "
            f"to {num_tokens}): at most {most}. Set a smaller max_tokens, or ask for fewer choices "
            "at once.",
            param="max_tokens",
        )
    _check_logprobs(info, generation, num_choices, num_tokens, prompt_tokens)


def _check_logprobs(
    info: EngineInfo,
    generation: Generation,
    num_choices: int,
    num_tokens: int,
    prompt_tokens: int,
) -> None:
    sampling = generation.sampling
    per_place = 0 if sampling.num_logprobs is None else 1 + sampling.num_logprobs
    total = num_choices * num_tokens * per_place
    of_prompts = 0
    if generation.echoes:
        of_prompts += prompt_tokens * (generation.best_of or generation.n) * per_place
    if sampling.num_prompt_logprobs is not None:
        of_prompts += prompt_tokens * (1 + sampling.num_prompt_logprobs)
    limit = max(MAX_LOGPROBS, info.max_model_len * MAX_PER_TOKEN)
    if total + of_prompts > limit:
        prompts = f", and {of_prompts} of prompts" if of_prompts else ""
        raise InvalidRequest(
            f"The answer could have {total + of_prompts} log-probabilities ({num_choices} choices "
            f"of up to {num_tokens} tokens with {per_place} each{prompts}): at most {limit}. Set a "
            "smaller max_tokens, or ask for fewer prompts, choices or candidates at once.",
            param="logprobs" if total else "prompt_logprobs",
        )
