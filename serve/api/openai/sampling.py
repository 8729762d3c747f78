"""The fields that both completion routes share: how to sample, when to stop, what to return."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from serve.api.dialect import Encoder, Parsed
from serve.api.openai.bodies import INT64_MAX, WHOLE, WHOLE_ITEMS, Body
from serve.api.openai.formats import FormatFields
from serve.api.openai.refusals import cut, shown
from serve.api.openai.token_fields import TokenFields
from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation
from serve.timeline import RequestClass

MAX_N = 128
MAX_STOPS = 16
MAX_STOP_CHARS = 1024
MAX_STOP_TOKEN_IDS = 128
MAX_BIASES = 1024
MAX_SALT_CHARS = 128
MAX_PRESET_CHARS = 64
PRESET_FIELDS = (
    *("temperature", "top_p", "top_k", "min_p", "max_tokens"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty"),
)
"""Those that a preset may fill where they are left out (serve/governance/presets)."""


def token_count(value: Any) -> Any:
    """-1 is llama.cpp's word, and LM Studio's, for as many as fit."""
    return UNBOUNDED_TOKENS if value == -1 and not isinstance(value, bool) else value


Penalty = Annotated[float, Field(ge=-2, le=2)]
TokenCount = Annotated[
    Annotated[int, Field(ge=1, le=INT64_MAX), WHOLE] | None, BeforeValidator(token_count)
]
"""A bound that is more than the room is as good as the room, so no number is too large."""
Stop = Annotated[
    Any,  # checked by _stops(): pydantic's messages for a union would name its branches
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_STOP_CHARS},
                {
                    "type": "array",
                    "maxItems": MAX_STOPS,
                    "items": {"type": "string", "maxLength": MAX_STOP_CHARS},
                },
                {"type": "null"},
            ]
        }
    ),
]


class StreamOptions(Body):
    """Options of how a stream is sent; clients send all three with each request.

    Chunks are never padded, whatever the last one says.
    """

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


class SamplingFields(FormatFields, TokenFields):
    """Null is the same as absent, as in OpenAI's API."""

    flags: ClassVar = (
        FormatFields.flags
        | TokenFields.flags
        | {
            *("stop", "logit_bias", "stop_token_ids", "stream_options", "logprobs"),
        }
    )

    model: str
    n: Annotated[int, Field(ge=1, le=MAX_N), WHOLE] | None = None
    stop: Stop = None
    max_tokens: TokenCount = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=INT64_MAX), WHOLE] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-INT64_MAX - 1, le=INT64_MAX), WHOLE] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=MAX_BIASES)]
        | None
    ) = None
    stop_token_ids: (
        Annotated[list[int], Field(max_length=MAX_STOP_TOKEN_IDS, fail_fast=True), WHOLE_ITEMS]
        | None
    ) = None
    ignore_eos: bool | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=MAX_SALT_CHARS)] | None = None
    preset: Annotated[str, Field(min_length=1, max_length=MAX_PRESET_CHARS)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def has_usage_chunk(self) -> bool:
        """Whether a stream ends with its usage; an answer that is none always has it."""
        return bool(self.stream and self.stream_options and self.stream_options.include_usage)

    @property
    def request_class(self) -> RequestClass | None:
        """The class of ``service_tier``: the cheaper one is the one that waits."""
        if self.service_tier is None:
            return None
        return "batch" if self.service_tier == "flex" else "interactive"

    @property
    def counts_tokens(self) -> bool:
        """Whether each chunk of a stream has the usage so far."""
        return bool(
            self.stream and self.stream_options and self.stream_options.continuous_usage_stats
        )

    def parsed(
        self,
        generation: Callable[[], Generation],
        encoder: Callable[..., Encoder],
        *,
        has_logprobs: bool,
    ) -> Parsed:
        """The request as the transport wants it.

        Args:
            generation: of the whole request.
            encoder: makes an encoder of an identity and the two options.
            has_logprobs: whether the answer has log-probabilities.
        """
        return Parsed(
            model=self.model,
            is_stream=bool(self.stream),
            request_class=self.request_class,
            generation=lambda: self.with_token_fields(
                replace(generation(), given=self.given_fields(), preset=self.preset),
                counts=self.counts_tokens,
            ),
            encoder=partial(
                encoder,
                has_usage_chunk=self.has_usage_chunk,
                has_logprobs=has_logprobs,
                tokens=self.token_options(n=self.n or 1, counts=self.counts_tokens),
            ),
        )

    def given_fields(self) -> frozenset[str]:
        """The names of PRESET_FIELDS that the client gave, whatever their values."""
        return frozenset(name for name in PRESET_FIELDS if getattr(self, name) is not None)

    def stops(self) -> tuple[str, ...]:
        """The stop strings.

        Raises:
            InvalidRequest: not a string or few short ones.
        """
        given: Any = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if not isinstance(given, list):
            raise InvalidRequest(
                f"stop must be a string or an array of strings, not {shown(given)}.", param="stop"
            )
        for index, stop in enumerate(given):
            if not isinstance(stop, str):
                param = f"stop[{index}]"
                raise InvalidRequest(f"{param} must be a string, not {shown(stop)}.", param=param)
            if len(stop) > MAX_STOP_CHARS:
                param = f"stop[{index}]" if isinstance(self.stop, list) else "stop"
                raise InvalidRequest(
                    f"{param} has {len(stop)} characters: at most {MAX_STOP_CHARS}.", param=param
                )
        given = [stop for stop in given if stop]  # an empty one would end each answer at once
        if len(given) > MAX_STOPS:
            raise InvalidRequest(
                f"stop has {len(given)} strings: at most {MAX_STOPS}.", param="stop"
            )
        return tuple(given)

    def sampling(self, *, max_tokens: int, num_logprobs: int | None) -> SamplingParams:
        """Parameters for the engine, which knows the vocabulary and checks token ids.

        Raises:
            InvalidRequest: a name in ``logit_bias`` that is no token id.
        """
        return SamplingParams(
            max_tokens=max_tokens,
            temperature=_or(self.temperature, 1.0),
            top_p=_or(self.top_p, 1.0),
            top_k=max(0, self.top_k or 0),  # -1 is vLLM's word for all
            min_p=_or(self.min_p, 0.0),
            seed=self.seed,
            presence_penalty=_or(self.presence_penalty, 0.0),
            frequency_penalty=_or(self.frequency_penalty, 0.0),
            repetition_penalty=_or(self.repetition_penalty, 1.0),
            logit_bias={_token_id(key): value for key, value in (self.logit_bias or {}).items()},
            num_logprobs=num_logprobs,
            stop_token_ids=frozenset(self.stop_token_ids or ()),
            ignore_eos=bool(self.ignore_eos),
        )


def _token_id(key: str) -> int:
    # isascii: isdigit alone accepts digits of other scripts. One spelling for each id: of two
    # names of one token ("5" and "05"), one would be lost.
    if not (key.isascii() and key.isdigit() and len(key) <= 10 and key == str(int(key))):
        raise InvalidRequest(
            f"logit_bias has the name {json.dumps(cut(key))}, which is not a token id: write ids "
            'as plain digits, such as {"42": -100}.',
            param="logit_bias",
        )
    return int(key)


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)
