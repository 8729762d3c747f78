"""/tokenize and /detokenize: what the model would see of a prompt. The shapes are vLLM's.

They use no engine, so its queue is no bound for them: they have one of their own. A megabyte of
text is up to a million tokens, so what is done for each token is done in slices, between which the
event loop turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from serve.api.http.middleware import call_of
from serve.api.http.off_loop import off_loop
from serve.api.http.pieces import PiecewiseReply
from serve.api.http.strict_json import parse_object
from serve.api.http.turnstile import Turnstile
from serve.api.json_lists import JsonLists, in_pieces
from serve.api.openai.fields import PROMPT_FIELDS
from serve.api.openai.parsing import parse_body
from serve.api.openai.schemas import JsonReply, described
from serve.api.operations.shapes import Text, Tokens
from serve.api.operations.tokenize_request import DetokenizeRequest, TokenizeRequest
from serve.api.policy import INFER
from serve.api.routes import RouteSpec, ServerState
from serve.service.directory import TextPipeline

B = TypeVar("B", TokenizeRequest, DetokenizeRequest)

MAX_RUNNING: Final = 2
MAX_WAITING: Final = 62
SLICE_TOKENS: Final = 1024
INLINE_TOKENS: Final = 4096
"""More ids than this become text on a thread."""
_TOKENIZE: Final[dict[str, Any]] = {
    "body": TokenizeRequest,
    "example": {"model": "demo", "prompt": "What is TTFT?", "return_token_strs": True},
}
_DETOKENIZE: Final[dict[str, Any]] = {
    "body": DetokenizeRequest,
    "example": {"model": "demo", "tokens": [11, 42]},
}


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """Both directions."""
    turnstile = Turnstile(max_running=MAX_RUNNING, max_waiting=MAX_WAITING)

    async def tokenize(request: Request) -> Response:
        """Token ids of a prompt or of messages, as a completion would send them to the engine.

        Raises:
            RequestError: see docs/errors.md.
        """
        raw = await _raw_body(state, request)
        async with turnstile.passed():
            body = await _parsed(raw, TokenizeRequest)
            pipeline = _pipeline(state, request, body.model)
            token_ids = await pipeline.encode(body.to_prompt())
            lists = await _token_lists(pipeline, token_ids, has_texts=bool(body.return_token_strs))
        call_of(request.scope).details |= body.counts() | {"tokens": len(token_ids)}
        return PiecewiseReply(in_pieces(lists.pieces()))

    async def detokenize(request: Request) -> Response:
        """The text of token ids, special tokens shown.

        Raises:
            RequestError: see docs/errors.md.
        """
        raw = await _raw_body(state, request)
        async with turnstile.passed():
            body = await _parsed(raw, DetokenizeRequest)
            pipeline = _pipeline(state, request, body.model)
            body.check_length(pipeline.engine.info.max_model_len)
            if len(body.tokens) <= INLINE_TOKENS:
                text = pipeline.decode(body.tokens)
            else:
                text = await asyncio.to_thread(pipeline.decode, body.tokens)
        call_of(request.scope).details |= {"tokens": len(body.tokens), "chars": len(text)}
        return JsonReply({"prompt": text})

    tags = ["tokens"]
    return (
        RouteSpec(
            path="/tokenize",
            handler=tokenize,
            policy=INFER,
            method="POST",
            openapi={"tags": tags, "responses": described(Tokens), **_TOKENIZE},
        ),
        RouteSpec(
            path="/detokenize",
            handler=detokenize,
            policy=INFER,
            method="POST",
            openapi={"tags": tags, "responses": described(Text), **_DETOKENIZE},
        ),
    )


async def _raw_body(state: ServerState, request: Request) -> bytes:
    """A request's body as it came. Raises NotReady before it is read."""
    state.service.directory.default.resident()
    return await request.body()


async def _parsed(raw: bytes, kind: type[B]) -> B:
    """The body as its type has it. Raises RequestError."""
    return await off_loop(len(raw), lambda: parse_body(kind, parse_object(raw), PROMPT_FIELDS))


def _pipeline(state: ServerState, request: Request, model: str | None) -> TextPipeline:
    """The pipeline that serves the model of that name."""
    return state.service.served(call_of(request.scope), model).resident()


async def _token_lists(
    pipeline: TextPipeline, token_ids: Sequence[int], *, has_texts: bool
) -> JsonLists:
    """The answer of /tokenize, made SLICE_TOKENS at a time."""
    shape = {
        "count": len(token_ids),
        "max_model_len": pipeline.engine.info.max_model_len,
        "tokens": [],
        "token_strs": [] if has_texts else None,
    }
    lists = JsonLists(shape)
    for start in range(0, len(token_ids), SLICE_TOKENS):
        ids = token_ids[start : start + SLICE_TOKENS]
        texts = [pipeline.token_text(token_id) for token_id in ids] if has_texts else []
        lists.add({"tokens": ids, "token_strs": texts})
        if start + SLICE_TOKENS < len(token_ids):
            await asyncio.sleep(0)
    return lists
