"""The body of /v1/completions, as OpenAI documents it (API reference, legacy completions)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from serve.api.openai.sampling import MAX_LOGPROBS, SamplingFields, check_vocabulary
from serve.engine.protocol import EngineInfo
from serve.errors import ContextLengthExceeded, InvalidRequest, UnsupportedField
from serve.pipeline.events import GenerateRequest, Prompt, TextPrompt, TokensPrompt
from serve.timeline import Timeline

MAX_PROMPTS = 16
DEFAULT_MAX_TOKENS = 16
"""OpenAI's own default of this route."""

_IDS = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}
_TEXT = {"type": "string", "minLength": 1}
PromptField = Annotated[
    Any,  # checked by _prompts(): four shapes, and up to a megabyte of token ids
    WithJsonSchema(
        {
            "anyOf": [
                _TEXT,
                {"type": "array", "minItems": 1, "maxItems": MAX_PROMPTS, "items": _TEXT},
                _IDS,
                {"type": "array", "minItems": 1, "maxItems": MAX_PROMPTS, "items": _IDS},
            ]
        }
    ),
]


class CompletionRequest(SamplingFields):
    prompt: PromptField
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    best_of: int | None = None
    add_special_tokens: bool | None = None

    def to_generate(
        self, info: EngineInfo, *, request_id: str, tenant: str, timeline: Timeline
    ) -> GenerateRequest:
        """The request for the pipeline.

        Raises:
            InvalidRequest: an empty or misshapen prompt, fields that contradict each other, or ids
                out of vocabulary.
        """
        self.check_shared()
        n = self.n or 1
        if self.best_of is not None and self.best_of != n:
            raise InvalidRequest(
                f"best_of is {self.best_of} and n is {n}: all choices are returned, so they must "
                "be equal. Leave best_of out.",
                param="best_of",
            )
        if self.add_special_tokens is False:
            raise UnsupportedField(
                "add_special_tokens cannot be false: the tokenizer's own rules hold. Send token "
                "ids for full control.",
                param="add_special_tokens",
            )
        max_tokens = self.max_tokens or DEFAULT_MAX_TOKENS
        return GenerateRequest(
            request_id=request_id,
            prompts=_prompts(self.prompt, info),
            n=n,
            sampling=self.sampling(info, max_tokens=max_tokens, num_logprobs=self.logprobs),
            stop=self.stops(),
            tenant=tenant,
            cache_salt=self.cache_salt,
            timeline=timeline,
        )


def _prompts(value: Any, info: EngineInfo) -> tuple[Prompt, ...]:
    """One prompt or several, each text or token ids.

    The ids of all prompts together are bounded by the context: one request cannot bring more work
    than the longest single prompt.
    """
    if isinstance(value, str):
        return (_text(value),)
    if not (isinstance(value, list) and value):
        raise _misshapen()
    kinds = set(map(type, value))
    if kinds == {int}:
        return (_tokens(value, info, num_before=0),)
    if len(value) > MAX_PROMPTS:
        raise InvalidRequest(
            f"prompt has {len(value)} prompts: at most {MAX_PROMPTS}.", param="prompt"
        )
    if kinds == {str}:
        return tuple(map(_text, value))
    if kinds != {list}:
        raise _misshapen()
    prompts: list[Prompt] = []
    num_before = 0
    for token_ids in value:
        prompts.append(_tokens(token_ids, info, num_before))
        num_before += len(token_ids)
    return tuple(prompts)


def _text(text: str) -> TextPrompt:
    if not text:
        raise InvalidRequest("A prompt is empty: give at least one token.", param="prompt")
    return TextPrompt(text)


def _tokens(token_ids: list[Any], info: EngineInfo, num_before: int) -> TokensPrompt:
    if set(map(type, token_ids)) - {int}:
        raise _misshapen()
    if not token_ids:
        raise InvalidRequest("A prompt is empty: give at least one token.", param="prompt")
    num_tokens = num_before + len(token_ids)
    if num_tokens > info.max_model_len:
        raise ContextLengthExceeded(
            f"prompt has {num_tokens} tokens or more, and this model's context is "
            f"{info.max_model_len}. Send fewer at once.",
            param="prompt",
        )
    check_vocabulary(info, token_ids, "prompt")
    return TokensPrompt(tuple(token_ids))


def _misshapen() -> InvalidRequest:
    return InvalidRequest(
        "prompt must be a string, an array of strings, an array of token ids or an array of such "
        "arrays, and not empty.",
        param="prompt",
    )
