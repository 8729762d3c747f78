"""The bounds of what is served at once: tokens, sequences, steps and queues."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_serializer, field_validator

AUTO = "auto"
OR_AUTO = ("max_num_seqs", "max_num_batched_tokens")
"""Numbers that engine and device choose where none is given. ``auto`` says so; here it is None."""


class CapacitySection(BaseModel):
    """Settings of how much the engine takes on."""

    max_model_len: int | None = Field(
        None,
        ge=1,
        description="Most tokens of prompt and completion together. Default: the model's own, "
        "or as many as the KV cache holds where that is fewer.",
    )
    max_num_seqs: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Most sequences that are decoded in one batch. `auto` is 32; with vLLM on a "
        "GPU vLLM's own for the card, 256 or more.",
    )
    max_num_batched_tokens: int | None = Field(
        None,
        ge=1,
        description="Most tokens in one forward: bounds how long a prefill holds up decodes. "
        "`auto` is 512; of these the transformers engine on a CPU gives prompts beside running "
        "answers 64 to 512, as many as it has measured to keep gaps below 0.25 s; with vLLM on a "
        "GPU vLLM's own for the card, 2048 or more.",
    )
    kv_cache_tokens: int | None = Field(
        None,
        ge=1,
        description="Bound of the KV cache in tokens. Default: derived from free memory.",
    )
    enable_prefix_caching: bool = Field(
        True,
        description="Keep the KV cache of prompts for those that begin alike, each API key's for "
        "itself. It takes room that no running request needs.",
    )
    max_num_queued_reqs: int = Field(
        128, ge=0, description="Most requests that wait for the engine; above it requests get 503."
    )
    max_num_queued_tokens: int | None = Field(
        None,
        ge=1,
        description="Most tokens of the requests that wait for the engine: their prompts, and up "
        "to 512 of each answer. Above it requests get 503, but for one that nobody else waits "
        "beside. Default: no bound beside `--max-num-queued-reqs`.",
    )
    max_request_s: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="Most seconds from a request's arrival to the end of its answer, whatever "
        "`x-request-timeout-ms` allows; then it is stopped, with 504. Default: no bound.",
    )

    max_token_hold_ms: float = Field(
        10.0,
        ge=0,
        le=1000,
        description="Milliseconds that a token may wait to be sent with the next one of its "
        "stream, while tokens come faster than that. 0 sends each alone.",
    )

    @field_validator(*OR_AUTO, mode="before")
    @classmethod
    def _is_left_open(cls, given: object) -> object:
        return None if given == AUTO else given

    @field_serializer(*OR_AUTO, when_used="json")
    def _as_given(self, number: int | None) -> int | str:
        return AUTO if number is None else number
