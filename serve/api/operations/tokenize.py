"""/tokenize and /detokenize: what the model would see of a prompt. The shapes are vLLM's."""

from __future__ import annotations

from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from serve.api.http.middleware import call_of
from serve.api.http.off_loop import off_loop
from serve.api.http.strict_json import parse_object
from serve.api.openai.fields import FIELDS
from serve.api.openai.parsing import parse_body
from serve.api.openai.schemas import JsonReply, Text, Tokens, described
from serve.api.operations.tokenize_request import DetokenizeRequest, TokenizeRequest
from serve.api.policy import INFER
from serve.api.routes import RouteSpec, ServerState
from serve.service.directory import TextPipeline

B = TypeVar("B", TokenizeRequest, DetokenizeRequest)


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """Both directions."""

    async def tokenize(request: Request) -> Response:
        """Token ids of a prompt or of messages, as a completion would send them to the engine.

        Raises:
            RequestError: see docs/errors.md.
        """
        body, pipeline = await _body_and_pipeline(state, request, TokenizeRequest)
        token_ids = await pipeline.encode(
            body.to_prompt(), add_special_tokens=body.add_special_tokens is not False
        )
        texts = [pipeline.token_text(i) for i in token_ids] if body.return_token_strs else None
        return JsonReply(
            {
                "count": len(token_ids),
                "max_model_len": pipeline.engine.info.max_model_len,
                "tokens": token_ids,
                "token_strs": texts,
            }
        )

    async def detokenize(request: Request) -> Response:
        """The text of token ids, special tokens shown.

        Raises:
            RequestError: see docs/errors.md.
        """
        body, pipeline = await _body_and_pipeline(state, request, DetokenizeRequest)
        body.check_length(pipeline.engine.info.max_model_len)
        return JsonReply({"prompt": pipeline.decode(body.tokens)})

    tags = ["tokens"]
    return (
        RouteSpec(
            path="/tokenize",
            handler=tokenize,
            policy=INFER,
            method="POST",
            openapi={"tags": tags, "responses": described(Tokens), "body": TokenizeRequest},
        ),
        RouteSpec(
            path="/detokenize",
            handler=detokenize,
            policy=INFER,
            method="POST",
            openapi={"tags": tags, "responses": described(Text), "body": DetokenizeRequest},
        ),
    )


async def _body_and_pipeline(
    state: ServerState, request: Request, kind: type[B]
) -> tuple[B, TextPipeline]:
    """The body of a request, and what serves the model that it names."""
    state.service.directory.default.resident()
    raw = await request.body()
    body = await off_loop(len(raw), lambda: parse_body(kind, parse_object(raw), FIELDS))
    return body, state.service.served(call_of(request.scope), body.model).resident()
