"""The Engine protocol: what every engine offers, and the words for it.

The contract (tests/contracts/engine.py, subclassed by every engine):

- every chunk carries at least one token; exactly one chunk carries a finish reason, the last one;
- ``finish_reason == "stop"`` means that the last token is an end-of-sequence or stop token: it is
  counted, and it is not text; ``"length"`` means that ``max_tokens`` were generated;
- the tokens of all chunks together are at most ``max_tokens``;
- temperature 0 repeats itself; the same seed repeats itself;
- closing the stream is the abort: at whatever point, ``load().num_running`` returns to 0;
- two concurrent streams do not mix;
- a prompt that does not fit raises ContextLengthExceeded before the first chunk;
- a grammar raises UnsupportedField before the first chunk, unless ``grammar`` is a capability;
- a stream that alone fails raises InternalError, those of a step that fails StepFailed; the engine
  goes on;
- when the engine dies, every open stream raises EngineDeadError.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from models.progress import ProgressCallback
from serve.engine.grammars.grammar import Grammar
from serve.timeline import FinishReason

Capability = Literal[
    "logprobs",
    "prompt_logprobs",
    "seed",
    "min_p",
    "logit_bias",
    "penalties",
    "token_rules",
    "prefix_cache",
    "grammar",
]
"""``token_rules`` are ``min_tokens``, ``allowed_token_ids`` and ``bad_words``."""

Progress: TypeAlias = ProgressCallback
"""Start-up progress, as engines tell it while they load: ``load_weights`` in bytes, others in
steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Rules for choosing the next token.

    Ranges are checked by the dialects (serve/api/openai/sampling.py).

    Attributes:
        max_tokens: most tokens to generate, at least 1.
        temperature: 0 is greedy; otherwise logits are divided by it. [0, 2]
        top_p: smallest set of tokens with at least this probability. (0, 1]
        top_k: this many most likely tokens; 0 means all. >= 0
        min_p: drop tokens below ``min_p`` times the top probability. [0, 1]
        seed: same seed, same request, same tokens. None draws fresh randomness. Any integer of 64
            bits; ADR 0028 says where other requests in the batch may change the tokens.
        presence_penalty: subtracted once from the logit of a token already generated. [-2, 2]
        frequency_penalty: subtracted once per occurrence of a token already generated. [-2, 2]
        repetition_penalty: divides (positive) or multiplies (negative) the logits of tokens in
            prompt or output. (0, 2]  Keskar et al. 2019, CTRL, section 4.1.
        logit_bias: added to the logits of these token ids. [-100, 100]
        num_logprobs: None for none; k for the chosen token's and the k most likely ones'. 0..20.
            They are of the model's own distribution: before temperature, penalties and bias.
        stop_token_ids: end the sequence as the model's own end-of-sequence tokens do.
        ignore_eos: generate on past the model's end-of-sequence tokens. Not with a grammar, which
            ends the completion.
        num_prompt_logprobs: None for none; k for those of each prompt token and of the k most
            likely ones at its place. 0..20. A prompt with them is computed in full, whatever is
            cached. For engines of the capability ``prompt_logprobs``.
        min_tokens: tokens before which no token of ``stop_token_ids`` or end-of-sequence may come,
            unless the grammar allows nothing else. 0..max_tokens.
        allowed_token_ids: no others may come, but for those that end the sequence; None is all.
        bad_words: sequences of token ids, none of which may be completed. Each of at least one.
        grammar: the completion is of this language, up to where ``max_tokens`` cuts it; None is
            free text. For engines of the capability ``grammar``.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    num_logprobs: int | None = None
    stop_token_ids: frozenset[int] = frozenset()
    ignore_eos: bool = False
    num_prompt_logprobs: int | None = None
    min_tokens: int = 0
    allowed_token_ids: frozenset[int] | None = None
    bad_words: tuple[tuple[int, ...], ...] = ()
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One sequence to continue.

    Attributes:
        request_id: unique among those in flight.
        cache_salt: only requests of the same salt share cached prefixes. Engines without the
            capability ``prefix_cache`` ignore it.
        adapter: one of ``EngineInfo.adapters``; None is the plain model. Cached prefixes are never
            shared between adapters, nor with the plain model.
    """

    request_id: str
    prompt_token_ids: Sequence[int]
    sampling: SamplingParams
    cache_salt: str | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural logs of probabilities at one position: of the chosen token, and of the top ones.

    Attributes:
        rank: of the chosen token among all, from 1; for prompt tokens only.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    rank: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChunk:
    """One or more tokens of a stream.

    Attributes:
        token_ids: at least one.
        logprobs: one per token when asked for, else None.
        prompt_logprobs: on the first chunk only, where they were asked for: one per prompt token;
            the first token's is None, for nothing stands before it.
        cached_tokens: prompt tokens taken from a prefix cache (the same in every chunk).
        finish_reason: on the last chunk only: ``stop`` or ``length``.
    """

    token_ids: Sequence[int]
    logprobs: Sequence[TokenLogprob] | None = None
    prompt_logprobs: Sequence[TokenLogprob | None] | None = None
    cached_tokens: int = 0
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Facts of an engine; fixed once it is up.

    Attributes:
        name: ``transformers``, ``fake``, ...
        max_model_len: most tokens of prompt and completion together.
        max_num_seqs: most sequences in one batch.
        kv_cache_tokens: bound of the KV cache, in tokens.
        num_parameters: of the model; 0 for the fake.
        weight_bytes: resident weights; 0 for the fake.
        adapters: names of the LoRA adapters that a request may ask for.
        prompt_chunk: tokens of a new prompt that a step computes beside running streams, where
            the engine has measured how many keep their gaps short; else None.
        cache_block_size: tokens of which a prefix cache gives all or none.
        has_exact_prefixes: a request with a seed or with logprobs takes no block of the prefix
            cache that an answer has filled, or none at all.
        loaded_prefix_tokens: in the prefix cache from a run before this one.
    """

    name: str
    max_model_len: int
    max_num_seqs: int
    kv_cache_tokens: int
    vocab_size: int
    eos_token_ids: frozenset[int]
    capabilities: frozenset[Capability]
    dtype: str
    device: str
    num_parameters: int = 0
    weight_bytes: int = 0
    adapters: tuple[str, ...] = ()
    cache_block_size: int = 1
    prompt_chunk: int | None = None
    has_exact_prefixes: bool = False
    loaded_prefix_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixCacheLoad:
    """Figures of a prefix cache: what it holds, what it was asked for. Names are vLLM's.

    Attributes:
        num_queries: tokens of prompts that were looked up. Only ever grows, as the next two do.
        num_hits: of these, tokens that were found.
        num_evictions: blocks that were given up for others; None where the engine does not tell.
        num_blocks: blocks whose content is kept, those included that running sequences hold; None
            where the engine does not tell.
    """

    num_queries: int
    num_hits: int
    num_evictions: int | None = None
    num_blocks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """A snapshot. ``num_steps`` and ``num_deaths`` only ever grow.

    Attributes:
        kv_cache_usage: share of the blocks that sequences hold, in [0, 1]; what is kept for later
            ones alone does not count.
        num_draft_tokens: guessed tokens that were checked. They only ever grow, too.
        num_accepted_tokens: of these, those that were right.
        num_deaths: how often one died that was to be followed by another; an engine by itself
            knows of none.
        prefix_cache: None where there is none.
    """

    num_running: int
    num_waiting: int
    kv_cache_usage: float
    num_steps: int = 0
    num_deaths: int = 0
    prefix_cache: PrefixCacheLoad | None = None
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0


class Engine(Protocol):
    """Token ids in, token ids out. See the module docstring for the contract."""

    @property
    def info(self) -> EngineInfo: ...

    def load(self) -> EngineLoad:
        """The present load. Never blocks."""
        ...

    def stream(self, request: EngineRequest) -> AsyncGenerator[TokenChunk, None]:
        """Continue one sequence. Closing the generator is the abort.

        Raises:
            InvalidRequest: before the first chunk; ContextLengthExceeded and UnsupportedField are
                kinds of it.
            EngineDeadError, StepFailed, InternalError: at any point.
        """
        ...

    async def check_health(self) -> None:
        """Raises EngineDeadError when the engine no longer makes progress."""
        ...

    async def close(self) -> None:
        """End every open stream with EngineDeadError and free all resources. Idempotent."""
        ...
