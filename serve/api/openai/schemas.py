"""The shapes of the dialect's answers, for /openapi.json. Answers are built as plain dicts.

Building a model per answer would cost time and prove nothing: the tests hold real answers against
these shapes, and against the types of the official client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from serve.timeline import CacheCause


class JsonReply(Response):
    """A JSON answer, encoded by orjson."""

    def __init__(
        self, content: object, *, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            orjson.dumps(content), status_code, dict(headers or {}), media_type="application/json"
        )


class Reply(BaseModel):
    """A shape. Answers hold exactly these names."""

    model_config = ConfigDict(extra="forbid")


class Problem(Reply):
    message: str
    type: str
    param: str | None
    code: str


class ProblemReply(Reply):
    error: Problem


class Quality(Reply):
    """The cost of quantising, measured beside the full weights when it was done (docs/quality.md).

    Divergence is in nats, ``top1`` a share of ``num_tokens``; ``is_enough`` whether the gate of the
    scheme and the model's size holds.
    """

    kl_mean: float
    kl_p99: float
    top1: float
    perplexity_ratio: float
    num_tokens: int
    texts: list[str]
    is_enough: bool


class ModelCard(Reply):
    """``root`` and ``parent`` are there for an adapter only: the model that it adapts.

    ``digest`` is that of the model's files (docs/models.md), or null where it is not known;
    ``quantization`` is the scheme of its weights (docs/quantization.md), ``none`` for full ones;
    ``quality`` what that cost, or null where it is not known or the weights are full.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int
    digest: str | None
    quantization: str
    quality: Quality | None
    root: str = ""
    parent: str = ""


class ModelList(Reply):
    object: Literal["list"]
    data: list[ModelCard]


class PromptTokensDetails(Reply):
    cached_tokens: int


class CompletionTokensDetails(Reply):
    reasoning_tokens: int


class UsageReply(Reply):
    """``completion_tokens_details`` are there in chats."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails | None = None


class CacheReply(Reply):
    """A prompt's fate in the prefix cache (docs/prefix-cache.md).

    ``token`` is the first that was not, or could not be, taken from it; ``at`` the part of the
    request that it is of, or else ``near`` the nearest one.
    """

    prompt: int
    cause: CacheCause
    token: int
    at: str | None
    near: str | None
    prompt_tokens: int
    known_tokens: int
    cached_tokens: int


class TopToken(Reply):
    token: str
    logprob: float
    bytes: list[int]


class ChatToken(TopToken):
    top_logprobs: list[TopToken]


class PromptToken(Reply):
    """A token of a prompt, or one that could stand at its place; ``rank`` counts from 1."""

    logprob: float
    rank: int
    decoded_token: str


class ChatLogprobs(Reply):
    content: list[ChatToken]
    refusal: None


class FunctionReply(Reply):
    """``arguments`` is JSON text."""

    name: str
    arguments: str


class ToolCallReply(Reply):
    id: str
    type: Literal["function"]
    function: FunctionReply


class ChatMessage(Reply):
    """``content`` is null where there is none, beside tool calls say.

    ``reasoning`` and ``reasoning_content`` are the same text under two names, and there where the
    model reasoned; ``tool_calls`` where it calls tools, and ``function_call`` in their place where
    the request had ``functions``.
    """

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning: str = ""
    reasoning_content: str = ""
    tool_calls: list[ToolCallReply] = []
    function_call: FunctionReply | None = None


class ChatChoice(Reply):
    """``token_ids`` are there where ``return_token_ids`` asks for them."""

    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length", "tool_calls", "function_call", "content_filter"]
    token_ids: list[int] = []


class ChatCompletion(Reply):
    """``prompt_token_ids`` are there where ``return_token_ids`` asks for them, ``prompt_logprobs``
    where that does, and ``prefix_cache`` where ``explain_cache`` does.
    """

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: UsageReply
    prompt_token_ids: list[int] = []
    prompt_logprobs: list[dict[str, PromptToken] | None] = []
    prefix_cache: list[CacheReply] = []


class TextLogprobs(Reply):
    text_offset: list[int]
    token_logprobs: list[float | None]
    tokens: list[str]
    top_logprobs: list[dict[str, float] | None]


class TextChoice(Reply):
    """``token_ids`` and ``prompt_token_ids`` are there where ``return_token_ids`` asks for them,
    ``prompt_logprobs`` where ``prompt_logprobs`` does.
    """

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length", "content_filter"]
    token_ids: list[int] = []
    prompt_token_ids: list[int] = []
    prompt_logprobs: list[dict[str, PromptToken] | None] = []


class Completion(Reply):
    """``prefix_cache`` is there where ``explain_cache`` asks for it, an entry for each prompt."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: UsageReply
    prefix_cache: list[CacheReply] = []


class ModerationResult(Reply):
    """Objects by the names of categories: OpenAI's, and those of the rules file."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text"]]]
    rules: list[str]


class Moderations(Reply):
    """``model`` names the version of the rules; ``rules`` those that hit, with their versions."""

    id: str
    model: str
    results: list[ModerationResult]


def described(shape: type[BaseModel], *, stream: bool = False) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses``: the shape on success, and the error envelope for all else."""
    ok: dict[str, Any] = {"model": shape, "description": "The answer."}
    if stream:
        ok["content"] = {"text/event-stream": {"schema": EVENT}}
    return {200: ok, "4XX": PROBLEM, "5XX": PROBLEM}


def generating(
    body: type[BaseModel],
    answer: type[BaseModel],
    *,
    tag: str,
    description: str,
    example: Mapping[str, Any],
) -> dict[str, Any]:
    """The part of /openapi.json that a dialect's route adds."""
    return {
        "tags": [tag],
        "description": description,
        "responses": described(answer, stream=True),
        "body": body,
        "example": example,
    }


EVENT: dict[str, Any] = {
    "type": "object",
    "description": "With stream: one server-sent event. Its data is a chunk, an error or [DONE].",
    "properties": {"data": {"type": "string"}},
    "required": ["data"],
}
PROBLEM: dict[str, Any] = {"model": ProblemReply, "description": "The request was refused."}
