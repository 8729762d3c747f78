"""/v1/completions, as a dialect (OpenAI's API reference, legacy completions)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from serve.api.dialect import Parsed
from serve.api.openai.bodies import INT64_MAX, WHOLE, whole_numbers
from serve.api.openai.errors import problem
from serve.api.openai.fields import PROMPT_FIELDS
from serve.api.openai.parsing import parse_body
from serve.api.openai.refusals import shown
from serve.api.openai.sampling import MAX_N, SamplingFields, token_count
from serve.api.openai.schemas import Completion, generating
from serve.api.openai.text_encoder import TextEncoder
from serve.api.openai.token_fields import MAX_LOGPROBS
from serve.api.policy import INFER
from serve.errors import InvalidRequest
from serve.pipeline.events import FillPrompt, Generation, Prompt, TextPrompt, TokensPrompt

MAX_PROMPTS = 2048
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


CompletionTokenCount = Annotated[
    Annotated[int, Field(ge=0, le=INT64_MAX), WHOLE] | None, BeforeValidator(token_count)
]
"""0 is for who wants the prompt's log-probabilities and no more."""


class CompletionRequest(SamplingFields):
    elsewhere: ClassVar = {
        "messages": "is a field of /v1/chat/completions: send this body there, or a prompt here.",
        "input": "is a field of other routes: this one takes a prompt.",
        "max_completion_tokens": "is a field of /v1/chat/completions: here it is max_tokens.",
    }

    prompt: PromptField
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS), WHOLE] | None = None
    max_tokens: CompletionTokenCount = None
    best_of: Annotated[int, Field(ge=1, le=MAX_N), WHOLE] | None = None
    echo: bool | None = None
    suffix: str | None = None
    add_special_tokens: bool | None = None

    def generation(self) -> Generation:
        """The request in the pipeline's words.

        Raises:
            InvalidRequest: an empty or misshapen prompt, or fields that contradict each other.
        """
        n = self.n or 1
        if self.stream and (self.best_of or n) > n:
            raise InvalidRequest(
                f"best_of is {self.best_of} with n {n} and stream is true: candidates are compared "
                "when they are over, so there is nothing to stream. Leave one of them out.",
                param="best_of",
            )
        max_tokens = DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens
        grammar, param = self.format()
        return Generation(
            prompts=self._prompts(),
            n=n,
            best_of=None if self.best_of == n else self.best_of,
            sampling=self.sampling(max_tokens=max_tokens, num_logprobs=self.logprobs),
            stop=self.stops(),
            cache_salt=self.cache_salt,
            format=grammar,
            format_param=param,
            echoes=bool(self.echo),
        )

    def _prompts(self) -> tuple[Prompt, ...]:
        """One prompt or several. Raises InvalidRequest: see ``generation``."""
        adds = self.add_special_tokens is not False
        prompts = _prompts(self.prompt, may_be_empty=self.suffix is not None)
        if self.suffix is None:
            return tuple(
                TextPrompt(prompt, add_special_tokens=adds)
                if isinstance(prompt, str)
                else TokensPrompt(prompt)
                for prompt in prompts
            )
        if not adds:
            raise InvalidRequest(
                "suffix and add_special_tokens false contradict each other: a gap is told by "
                "special tokens. Leave one of them out.",
                param="add_special_tokens",
            )
        filled: list[Prompt] = []
        for prompt in prompts:
            if not isinstance(prompt, str):
                raise InvalidRequest(
                    "suffix goes with a prompt that is text, not with token ids. Send text, or "
                    "the model's own tokens for a gap among the ids.",
                    param="suffix",
                )
            filled.append(FillPrompt(prompt, self.suffix))
        return tuple(filled)


class Completions:
    """Continues one or more prompts (a serve.api.dialect.Dialect)."""

    path = "/v1/completions"
    name = "create_completion"
    policy = INFER
    openapi: Mapping[str, Any] = generating(
        CompletionRequest,
        Completion,
        tag="completions",
        description="Continue one or more prompts.",
        example={"model": "demo", "prompt": "Once upon a time", "max_tokens": 16},
    )

    def parse(self, body: Mapping[str, Any]) -> Parsed:
        """A request. Raises RequestError: see docs/errors.md."""
        request = parse_body(CompletionRequest, body, PROMPT_FIELDS)
        return request.parsed(
            request.generation, TextEncoder, has_logprobs=request.logprobs is not None
        )

    problem = staticmethod(problem)


def _prompts(value: Any, *, may_be_empty: bool) -> Sequence[str | tuple[int, ...]]:
    """One prompt or several, each text or token ids.

    Args:
        may_be_empty: a text may be.
    """
    if isinstance(value, str):
        return _texts([value], may_be_empty=may_be_empty)
    if not (isinstance(value, list) and value):
        raise _misshapen("an empty array" if value == [] else shown(value))
    value = whole_numbers(value)
    kinds = set(map(type, value))
    if kinds == {int}:
        return (_tokens(value),)
    if len(value) > MAX_PROMPTS:
        raise InvalidRequest(
            f"prompt has {len(value)} prompts: at most {MAX_PROMPTS}.", param="prompt"
        )
    if kinds == {str}:
        return _texts(value, may_be_empty=may_be_empty)
    if kinds != {list}:
        raise _misshapen(_odd_one(value))
    return tuple(map(_tokens, value))


def _texts(texts: list[str], *, may_be_empty: bool) -> Sequence[str]:
    if not (may_be_empty or all(texts)):
        raise InvalidRequest("A prompt is empty: give at least one token.", param="prompt")
    return texts


def _tokens(token_ids: list[Any]) -> tuple[int, ...]:
    token_ids = whole_numbers(token_ids)
    if set(map(type, token_ids)) - {int}:
        raise _misshapen(_odd_one(token_ids))
    if not token_ids:
        raise InvalidRequest("A prompt is empty: give at least one token.", param="prompt")
    return tuple(token_ids)


def _odd_one(values: list[Any]) -> str:
    """The entry that is of another type than the first, or of none that a prompt can have."""
    first = type(values[0])
    odd = (value for value in values if type(value) is not first)
    entry = next(odd, values[0]) if first in (int, str, list) else values[0]
    return f"an array with {shown(entry)} in it"


def _misshapen(given: str) -> InvalidRequest:
    return InvalidRequest(
        "prompt must be a string, an array of strings, an array of token ids or an array of such "
        f"arrays, and not empty; not {given}.",
        param="prompt",
    )
