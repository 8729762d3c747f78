"""Settings of the engines. The composition root fills them from the server's configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serve.config_sections.served_model import Device, Dtype
from serve.config_sections.transformers import DEFAULT_FILE_BYTES

DEFAULT_SEQS, DEFAULT_STEP_TOKENS = 32, 512
"""Sequences and tokens of one step where nothing is asked for: right for some cores, and small for
a GPU, where vLLM's own defaults hold."""
DEFAULT_GUESSES = 15
"""With the token before them sixteen rows, which the compiled loops take at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSettings:
    """Behaviour of the fake engine; no other engine reads it.

    Attributes:
        tokens_per_s: pace of each stream; None is as fast as it can.
        script: token ids that every stream yields, repeated; None derives them from the prompt.
        chunk_sizes: tokens per chunk, cycled.
        die_after: the engine dies after this many tokens over all streams; None never.
        vocab_size: token ids are below it.
        eos_token_ids: end-of-sequence ids; a script may hold them, derived tokens avoid them.
        avoided_token_ids: derived tokens avoid these, too.
        adapters: names that requests may ask for; derived tokens depend on them.
    """

    tokens_per_s: float | None = None
    script: Sequence[int] | None = None
    chunk_sizes: Sequence[int] = (1,)
    die_after: int | None = None
    vocab_size: int = 32_000
    eos_token_ids: frozenset[int] = frozenset({2})
    avoided_token_ids: frozenset[int] = frozenset()
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSettings:
    """Settings of the vLLM engine alone; names and meanings are those of its engine arguments.

    Attributes:
        distributed_executor_backend: ``ray`` has workers on other machines; ``auto`` has none.
        gpu_memory_utilization: None is vLLM's own default; on a CPU see ``vllm/cpu.plan``.
        engine_args: ``NAME=VALUE`` of further engine arguments.
        stall_timeout_s: seconds without a step while requests run that mean the engine hangs.
        adapters: name and folder of each LoRA adapter.
        max_loras: most adapters in one batch; None is all, at most ``vllm/lora.MAX_SLOTS``.
        max_lora_rank: None is the adapters' own, rounded up to one that vLLM takes.
        logits_processors: classes that see and change every step's logits, as ``module:Class``. For
            measuring alone: they are code to run, so no flag fills this.
    """

    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    distributed_executor_backend: str = "auto"
    gpu_memory_utilization: float | None = None
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    engine_args: Sequence[str] = ()
    stall_timeout_s: float = 120.0
    adapters: Sequence[tuple[str, Path]] = ()
    max_loras: int | None = None
    max_lora_rank: int | None = None
    logits_processors: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersSettings:
    """Settings of the transformers engine alone.

    Attributes:
        prompt_lookup: guess next tokens from the text so far; None is on, where it is exact.
        num_speculative_tokens: most guesses of a sequence in one step; None is
            ``DEFAULT_GUESSES``.
        prefix_cache_dir: where the prefix cache is kept from one run to the next; None is nowhere.
        prefix_cache_file_bytes: most bytes of it.
        prefix_cache_key_file: of the secret that it is encrypted with; None is one beside it.
    """

    prompt_lookup: bool | None = None
    num_speculative_tokens: int | None = None
    prefix_cache_dir: Path | None = None
    prefix_cache_file_bytes: int = DEFAULT_FILE_BYTES
    prefix_cache_key_file: Path | None = None

    @property
    def most_guesses(self) -> int:
        """Most guesses of a sequence in one step; 0 where none are made."""
        if self.prompt_lookup is False:
            return 0
        return self.num_speculative_tokens or DEFAULT_GUESSES


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Settings of every engine.

    Attributes:
        dtype: of weights and arithmetic; ``auto`` is the checkpoint's.
        device: ``auto`` is a GPU where there is one.
        max_model_len: most tokens of prompt and completion; None is the model's own, or as many as
            the KV cache holds where that is fewer.
        max_num_seqs: most sequences in one batch; None is ``num_seqs``, or vLLM's own on a GPU.
        max_num_batched_tokens: most tokens in one forward; at least one per running sequence. None
            is ``step_tokens``, or vLLM's own on a GPU.
        kv_cache_tokens: bound of the KV cache; None derives it from the memory that is free.
        enable_prefix_caching: keep the KV cache of prompts for those that begin alike. The
            fake engine has none.
        max_hold_s: longest that a token may wait to be sent with the next one; 0 sends each alone.
        forces_tokens: of the transformers engine: add tokens that a grammar leaves no choice of
            without sampling them. No flag turns it off; measurements do.
        model_digest: of the model's files, as their manifest has it; None where there is none.
        transformers: for the transformers engine alone.
        vllm: for the vLLM engine alone.
        fake: for the fake engine alone.
    """

    dtype: Dtype = "auto"
    device: Device = "auto"
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_tokens: int | None = None
    enable_prefix_caching: bool = True
    max_hold_s: float = 0.010
    forces_tokens: bool = True
    model_digest: str | None = None
    transformers: TransformersSettings = TransformersSettings()
    vllm: VllmSettings = VllmSettings()
    fake: FakeSettings = FakeSettings()

    @property
    def num_seqs(self) -> int:
        """Most sequences in one batch, where our own default holds."""
        if self.max_num_seqs is not None:
            return self.max_num_seqs
        return min(DEFAULT_SEQS, self.max_num_batched_tokens or DEFAULT_SEQS)

    @property
    def step_tokens(self) -> int:
        """Most tokens in one forward, where our own default holds; at least ``num_seqs``."""
        return max(self.max_num_batched_tokens or DEFAULT_STEP_TOKENS, self.num_seqs)
