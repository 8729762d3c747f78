"""Checks that every engine makes of a request before its first chunk, in one wording."""

from __future__ import annotations

from collections.abc import Collection

from models.rules.names import quoted
from serve.engine.protocol import Capability, EngineInfo, EngineRequest, SamplingParams
from serve.errors import ContextLengthExceeded, InvalidRequest, UnsupportedField

MAX_SHOWN_DIGITS = 20


def check_request(info: EngineInfo, request: EngineRequest) -> None:
    """Refuse what the engine could not run.

    Raises:
        ContextLengthExceeded: prompt and ``max_tokens`` together exceed ``info.max_model_len``.
        UnsupportedField: a grammar, rules for tokens or logprobs of the prompt, where the engine
            lacks the capability.
        InvalidRequest: an empty prompt, an adapter that is not there, or token ids that the model
            does not have. They would index past the embedding, which kills a step, and with it
            every other stream.
    """
    prompt, sampling = request.prompt_token_ids, request.sampling
    if len(prompt) + sampling.max_tokens > info.max_model_len:
        raise ContextLengthExceeded(
            f"This model's context is {info.max_model_len} tokens; the prompt has {len(prompt)} "
            f"and {sampling.max_tokens} were asked for. Shorten the prompt or lower max_tokens."
        )
    if not prompt:
        raise InvalidRequest("The prompt is empty; it needs at least one token.")
    if sampling.grammar is not None and "grammar" not in info.capabilities:
        raise UnsupportedField(
            f"The {info.name} engine cannot hold a completion to a grammar "
            f"({sampling.grammar.kind}). Leave it out."
        )
    _check_rules(info, sampling)
    if request.adapter is not None and request.adapter not in info.adapters:
        raise InvalidRequest(
            f"There is no adapter {quoted(request.adapter[:60])}; there are: "
            f"{', '.join(info.adapters) or 'none'}.",
            param="model",
        )
    if min(prompt) < 0 or max(prompt) >= info.vocab_size:
        raise InvalidRequest(f"The prompt holds token ids outside 0..{info.vocab_size - 1}.")
    for token_id in sampling.logit_bias:
        if not 0 <= token_id < info.vocab_size:
            raise InvalidRequest(
                f"logit_bias names token id {token_id}; this model has 0..{info.vocab_size - 1}.",
                param="logit_bias",
            )


def _check_rules(info: EngineInfo, sampling: SamplingParams) -> None:
    """Refuse rules for tokens that the engine cannot follow, or that contradict each other."""
    for capability, field in _rules_of(sampling):
        if capability not in info.capabilities:
            raise UnsupportedField(
                f"The {info.name} engine does not support {field}. Leave it out.", param=field
            )
    if sampling.grammar is not None and sampling.ignore_eos:
        raise InvalidRequest(
            "ignore_eos goes on past the end of a completion, and a grammar ends it. Leave one of "
            "the two out.",
            param="ignore_eos",
        )
    if not 0 <= sampling.min_tokens <= sampling.max_tokens:
        raise InvalidRequest(
            f"min_tokens is {sampling.min_tokens}; it is 0 to max_tokens, {sampling.max_tokens}.",
            param="min_tokens",
        )
    allowed = sampling.allowed_token_ids
    if allowed is not None and not allowed:
        raise InvalidRequest(
            "allowed_token_ids is empty, so no token may come. Name one at least.",
            param="allowed_token_ids",
        )
    check_vocabulary(info, allowed or (), "allowed_token_ids")
    for word in sampling.bad_words:
        if not word:
            raise InvalidRequest("bad_words has one without a token.", param="bad_words")
        check_vocabulary(info, word, "bad_words")


def _rules_of(sampling: SamplingParams) -> list[tuple[Capability, str]]:
    """The newer fields that are set, with the capability that each needs."""
    fields: list[tuple[Capability, bool, str]] = [
        ("token_rules", sampling.min_tokens > 0, "min_tokens"),
        ("token_rules", sampling.allowed_token_ids is not None, "allowed_token_ids"),
        ("token_rules", bool(sampling.bad_words), "bad_words"),
        ("prompt_logprobs", sampling.num_prompt_logprobs is not None, "prompt_logprobs"),
    ]
    return [(capability, field) for capability, is_set, field in fields if is_set]


def check_sampling(info: EngineInfo, sampling: SamplingParams) -> None:
    """Refuse what the engine cannot do, before anything is made of the prompt.

    Raises:
        UnsupportedField: a parameter that needs a capability which the engine lacks.
        InvalidRequest: a token id that the model does not have, or rules that contradict others.
    """
    needs: dict[Capability, tuple[bool, str]] = {
        "logprobs": (sampling.num_logprobs is not None, "logprobs"),
        "seed": (sampling.seed is not None, "seed"),
        "min_p": (sampling.min_p > 0, "min_p"),
        "logit_bias": (bool(sampling.logit_bias), "logit_bias"),
        "penalties": (
            bool(sampling.presence_penalty or sampling.frequency_penalty)
            or sampling.repetition_penalty != 1.0,
            "presence_penalty",
        ),
        "grammar": (sampling.grammar is not None, "a grammar"),
    }
    for capability, (is_needed, field) in needs.items():
        if is_needed and capability not in info.capabilities:
            raise UnsupportedField(
                f"The {info.name} engine does not support {field}. Leave it out.", param=field
            )
    check_vocabulary(info, sampling.logit_bias, "logit_bias")
    check_vocabulary(info, sampling.stop_token_ids, "stop_token_ids")
    _check_rules(info, sampling)


def check_vocabulary(info: EngineInfo, token_ids: Collection[int], param: str) -> None:
    """Raises InvalidRequest unless all ids are in the vocabulary."""
    if not token_ids:
        return
    lowest, highest = min(token_ids), max(token_ids)
    if lowest < 0 or highest >= info.vocab_size:
        wrong = f"{lowest if lowest < 0 else highest}"
        shown = wrong if len(wrong) <= MAX_SHOWN_DIGITS else f"{wrong[:MAX_SHOWN_DIGITS]}..."
        raise InvalidRequest(
            f"{param} has a token id out of range, {shown}: this model's are 0 to "
            f"{info.vocab_size - 1}.",
            param=param,
        )
