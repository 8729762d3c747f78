"""/tokenize and /detokenize: what the model would see of a prompt. The shapes are vLLM's."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serve.api.context import record_of, state_of
from serve.api.http.body import read_object
from serve.api.openai.parsing import parse_wire
from serve.api.openai.schemas import JsonReply, Text, Tokens, described
from serve.api.openapi import request_body
from serve.api.operations.tokenize_request import DetokenizeRequest, TokenizeRequest

router = APIRouter(tags=["tokens"])


@router.post("/tokenize", responses=described(Tokens), openapi_extra=request_body(TokenizeRequest))
async def tokenize(request: Request) -> Response:
    """Token ids of a prompt or of messages, as a completion would send them to the engine.

    Raises:
        RequestError: see docs/errors.md.
    """
    state = state_of(request)
    pipeline = state.loaded_pipeline()
    wire = parse_wire(TokenizeRequest, await read_object(request))
    record_of(request.scope).model = state.check_model(wire.model)
    token_ids = await pipeline.encode(
        wire.to_prompt(), add_special_tokens=wire.add_special_tokens is not False
    )
    texts = [pipeline.token_text(i) for i in token_ids] if wire.return_token_strs else None
    return JsonReply(
        {
            "count": len(token_ids),
            "max_model_len": pipeline.engine.info.max_model_len,
            "tokens": token_ids,
            "token_strs": texts,
        }
    )


@router.post(
    "/detokenize", responses=described(Text), openapi_extra=request_body(DetokenizeRequest)
)
async def detokenize(request: Request) -> Response:
    """The text of token ids, special tokens shown.

    Raises:
        RequestError: see docs/errors.md.
    """
    state = state_of(request)
    pipeline = state.loaded_pipeline()
    wire = parse_wire(DetokenizeRequest, await read_object(request))
    record_of(request.scope).model = state.check_model(wire.model)
    wire.check_length(pipeline.engine.info.max_model_len)
    return JsonReply({"prompt": pipeline.decode(wire.tokens)})
