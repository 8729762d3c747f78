"""Checks of a generation before anything is held for it: what no time and no luck could run."""

from __future__ import annotations

from serve.engine.protocol import EngineInfo, SamplingParams
from serve.engine.request_check import check_sampling, check_vocabulary
from serve.errors import ContextLengthExceeded, InvalidRequest, UnsupportedField
from serve.pipeline.answer_size import check_answer_size
from serve.pipeline.events import UNBOUNDED_TOKENS, FillPrompt, Generation, TokensPrompt
from serve.pipeline.prompt_view import engine_prompt_logprobs


def check_generation(info: EngineInfo, generation: Generation) -> None:
    """Refuse what this model can never run, and fields that contradict each other.

    Raises:
        InvalidRequest, UnsupportedField: see ``check_sampling``; or two fields that cannot both
            hold, a prompt's token id, or an answer larger than the server holds.
        ContextLengthExceeded: more token ids than one context holds.
    """
    _check_contradictions(generation)
    check_sampling(info, generation.sampling)
    _check_capabilities(info, generation)
    check_answer_size(info, generation)
    _check_prompts(info, generation)


def _check_capabilities(info: EngineInfo, generation: Generation) -> None:
    """Check what the sampling does not say yet, for the pipeline makes it of other fields."""
    asks_engine = engine_prompt_logprobs(generation) is not None
    if asks_engine and "prompt_logprobs" not in info.capabilities:
        raise UnsupportedField(
            f"echo with logprobs needs those of the prompt, which the {info.name} engine does not "
            "compute. Leave one of them out.",
            param="echo",
        )
    if generation.bad_words and "token_rules" not in info.capabilities:
        raise UnsupportedField(
            f"The {info.name} engine does not support bad_words. Leave it out.", param="bad_words"
        )
    if generation.explains_cache and "prefix_cache" not in info.capabilities:
        raise UnsupportedField(
            f"explain_cache is not supported: the {info.name} engine has no prefix cache here, so "
            "there is nothing to explain. Leave it out.",
            param="explain_cache",
        )
    if generation.best_of is not None and "logprobs" not in info.capabilities:
        raise UnsupportedField(
            f"best_of needs log-probabilities, which the {info.name} engine does not compute. "
            "Leave it out.",
            param="best_of",
        )


def _check_contradictions(generation: Generation) -> None:
    sampling = generation.sampling
    if sampling.min_tokens > sampling.max_tokens:
        raise InvalidRequest(
            f"min_tokens is {sampling.min_tokens} and max_tokens is {sampling.max_tokens}: set "
            "min_tokens to at most max_tokens.",
            param="min_tokens",
        )
    is_nothing_told = not generation.echoes and sampling.num_prompt_logprobs is None
    if sampling.max_tokens == 0 and is_nothing_told:
        raise InvalidRequest(
            "max_tokens is 0 and nothing is said of the prompt: set echo or prompt_logprobs, or "
            "max_tokens to at least 1.",
            param="max_tokens",
        )
    if generation.best_of is not None and generation.best_of < generation.n:
        raise InvalidRequest(
            f"best_of is {generation.best_of} and n is {generation.n}: set best_of to at least n.",
            param="best_of",
        )
    if generation.format is not None or sampling.grammar is not None:
        check_bound(sampling, generation.format_param or "a format")
    if generation.echoes and any(isinstance(p, FillPrompt) for p in generation.prompts):
        raise InvalidRequest(
            "echo and suffix contradict each other: what would be repeated has a gap. Leave one "
            "of them out.",
            param="echo",
        )


def check_bound(sampling: SamplingParams, other: str) -> None:
    """Refuse what cannot be together with a grammar.

    Args:
        other: the field that the grammar is of.

    Raises:
        InvalidRequest: the answer is to go on behind its end, or may have some tokens alone.
    """
    if sampling.ignore_eos:
        raise InvalidRequest(
            f"ignore_eos and {other} contradict each other: where what was asked for is whole, the "
            "answer ends. Leave one of them out.",
            param="ignore_eos",
        )
    if sampling.allowed_token_ids is not None:
        raise InvalidRequest(
            f"allowed_token_ids and {other} both say which tokens may come, and together could "
            "leave none. Leave one of them out.",
            param="allowed_token_ids",
        )


def _check_prompts(info: EngineInfo, generation: Generation) -> None:
    limit = info.max_model_len
    size = generation.truncates_to
    if size is not None and size != UNBOUNDED_TOKENS and size > limit:
        raise InvalidRequest(
            f"truncate_prompt_tokens is {size}: this model's context is {limit}. Set it to at most "
            "that, or to -1 for as many as fit.",
            param="truncate_prompt_tokens",
        )
    for prompt in generation.prompts:
        if not isinstance(prompt, TokensPrompt):
            continue
        if len(prompt.token_ids) > limit and size is None:
            raise ContextLengthExceeded(
                f"A prompt has {len(prompt.token_ids)} tokens, and this model's context is "
                f"{limit}. Shorten it, or set truncate_prompt_tokens.",
                param="prompt",
            )
        check_vocabulary(info, prompt.token_ids, "prompt")
