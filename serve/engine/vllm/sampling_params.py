"""A request's sampling parameters and grammar in vLLM's own classes."""

from __future__ import annotations

from vllm import SamplingParams as VllmSamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from serve.engine.protocol import EngineInfo, Grammar, SamplingParams

MIN_TEMPERATURE = 0.01
"""vLLM raises lower ones to this, with a line in the log for each request."""
MAX_SEED = 2**63 - 1


def sampling_params(sampling: SamplingParams, info: EngineInfo) -> VllmSamplingParams:
    """Our sampling parameters as vLLM's.

    End-of-sequence tokens go in as plain stop tokens: vLLM would ask a tokenizer for them.
    A seed of -1 means "none" to vLLM, and temperatures below its least one are raised to that.
    """
    stops = sampling.stop_token_ids
    if not sampling.ignore_eos:
        stops |= info.eos_token_ids
    temperature = sampling.temperature and max(sampling.temperature, MIN_TEMPERATURE)
    return VllmSamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=temperature,
        top_p=sampling.top_p,
        top_k=min(sampling.top_k, info.vocab_size),
        min_p=sampling.min_p,
        seed=None if sampling.seed is None else sampling.seed & MAX_SEED,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repetition_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        logprobs=sampling.num_logprobs,
        stop_token_ids=sorted(stops),
        ignore_eos=True,
        structured_outputs=structured_outputs(sampling.grammar),
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,
    )


def structured_outputs(grammar: Grammar | None) -> StructuredOutputsParams | None:
    """A grammar as vLLM's; None is free text.

    vLLM compiles it with its own tokenizer, which this server does not load: until it does, no
    vLLM engine has the capability ``grammar``.
    """
    if grammar is None:
        return None
    match grammar.kind:
        case "json_schema":
            return StructuredOutputsParams(json=grammar.text)
        case "regex":
            return StructuredOutputsParams(regex=grammar.text)
        case "choice":
            return StructuredOutputsParams(choice=list(grammar.choices))
        case "lark":
            return StructuredOutputsParams(grammar=grammar.text)
        case "structural":
            return StructuredOutputsParams(structural_tag=grammar.text)
