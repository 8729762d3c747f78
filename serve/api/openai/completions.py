"""/v1/completions, as a dialect (OpenAI's API reference, legacy completions)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema

from serve.api.dialect import Parsed
from serve.api.openai.bodies import WHOLE, whole_numbers
from serve.api.openai.errors import problem
from serve.api.openai.fields import PROMPT_FIELDS
from serve.api.openai.parsing import parse_body
from serve.api.openai.refusals import shown
from serve.api.openai.sampling import MAX_LOGPROBS, SamplingFields
from serve.api.openai.schemas import Completion, generating
from serve.api.openai.text_encoder import TextEncoder
from serve.api.policy import INFER
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import Generation, Prompt, TextPrompt, TokensPrompt

MAX_PROMPTS = 128
MAX_CHOICES = 128
"""Prompts times n. Each is a sequence of the engine's, and its text and figures are held."""
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
    elsewhere: ClassVar = {
        "messages": "is a field of /v1/chat/completions: send this body there, or a prompt here.",
        "input": "is a field of other routes: this one takes a prompt.",
        "max_completion_tokens": "is a field of /v1/chat/completions: here it is max_tokens.",
    }

    prompt: PromptField
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS), WHOLE] | None = None
    best_of: Annotated[int, WHOLE] | None = None
    add_special_tokens: bool | None = None

    def generation(self) -> Generation:
        """The request in the pipeline's words.

        Raises:
            InvalidRequest: an empty or misshapen prompt, or fields that contradict each other.
        """
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
        prompts = _prompts(self.prompt)
        if len(prompts) * n > MAX_CHOICES:
            raise InvalidRequest(
                f"The request has {len(prompts)} prompts and n is {n}, which is "
                f"{len(prompts) * n} choices: at most {MAX_CHOICES}. Ask for fewer at once.",
                param="n",
            )
        max_tokens = self.max_tokens or DEFAULT_MAX_TOKENS
        return Generation(
            prompts=prompts,
            n=n,
            sampling=self.sampling(max_tokens=max_tokens, num_logprobs=self.logprobs),
            stop=self.stops(),
            cache_salt=self.cache_salt,
            format=self.format(),
        )


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


def _prompts(value: Any) -> tuple[Prompt, ...]:
    """One prompt or several, each text or token ids."""
    if isinstance(value, str):
        return (_text(value),)
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
        return tuple(map(_text, value))
    if kinds != {list}:
        raise _misshapen(_odd_one(value))
    return tuple(map(_tokens, value))


def _text(text: str) -> TextPrompt:
    if not text:
        raise InvalidRequest("A prompt is empty: give at least one token.", param="prompt")
    return TextPrompt(text)


def _tokens(token_ids: list[Any]) -> TokensPrompt:
    token_ids = whole_numbers(token_ids)
    if set(map(type, token_ids)) - {int}:
        raise _misshapen(_odd_one(token_ids))
    if not token_ids:
        raise InvalidRequest("A prompt is empty: give at least one token.", param="prompt")
    return TokensPrompt(tuple(token_ids))


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
