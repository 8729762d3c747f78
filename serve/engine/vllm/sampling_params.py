"""A request's sampling parameters and grammar in vLLM's own classes."""

from __future__ import annotations

import hashlib

from vllm import SamplingParams as VllmSamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.serialised import serialised
from serve.engine.protocol import EngineInfo, SamplingParams
from serve.errors import InvalidRequest

MIN_TEMPERATURE = 0.01
"""vLLM raises lower ones to this, and would draw where hardly anything is left to draw from: they
are greedy here."""
_PLAIN_SEEDS = 2**31


def sampling_params(sampling: SamplingParams, info: EngineInfo) -> VllmSamplingParams:
    """Our sampling parameters as vLLM's.

    End-of-sequence tokens go in as plain stop tokens: vLLM would ask a tokenizer for them.
    Temperatures below vLLM's least one are greedy.

    Raises:
        InvalidRequest: the grammar is none.
    """
    stops = sampling.stop_token_ids
    if not sampling.ignore_eos:
        stops |= info.eos_token_ids
    allowed = sampling.allowed_token_ids
    temperature = 0.0 if sampling.temperature < MIN_TEMPERATURE else sampling.temperature
    return VllmSamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=temperature,
        top_p=sampling.top_p,
        top_k=min(sampling.top_k, info.vocab_size),
        min_p=sampling.min_p,
        seed=None if sampling.seed is None else _seed(sampling.seed),
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repetition_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        logprobs=sampling.num_logprobs,
        prompt_logprobs=sampling.num_prompt_logprobs,
        min_tokens=sampling.min_tokens,
        allowed_token_ids=None if allowed is None else sorted(allowed | stops),
        # Where vLLM puts the tokens of the words that it is given as text.
        _bad_words_token_ids=[list(word) for word in sampling.bad_words] or None,
        stop_token_ids=sorted(stops),
        ignore_eos=True,
        structured_outputs=structured_outputs(sampling.grammar),
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,
    )


def _seed(seed: int) -> int:
    """A number below 2**63 in its place, so that different seeds differ.

    To vLLM -1 means "none", and torch's generator of a CPU heeds a seed's low 32 bits alone: small
    seeds stay what they are, all others are spread over all bits.
    """
    if 0 <= seed < _PLAIN_SEEDS:
        return seed
    digest = hashlib.blake2b(str(seed).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def structured_outputs(grammar: Grammar | None) -> StructuredOutputsParams | None:
    """A grammar as the core's own backend takes it (``grammar_backend.py``); None is free text.

    Raises:
        InvalidRequest: it is none.
    """
    if grammar is None:
        return None
    try:
        return StructuredOutputsParams(grammar=serialised(grammar))
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
