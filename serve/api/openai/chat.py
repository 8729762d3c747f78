"""/v1/chat/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serve.api.openai.chat_request import ChatRequest
from serve.api.openai.encoders import ChatFrames
from serve.api.openai.generation import answer
from serve.api.openai.schemas import ChatCompletion, described
from serve.api.openapi import request_body

router = APIRouter(prefix="/v1", tags=["chat"])


@router.post(
    "/chat/completions",
    responses=described(ChatCompletion, stream=True),
    openapi_extra=request_body(ChatRequest),
)
async def create_chat_completion(request: Request) -> Response:
    """Continue a conversation.

    Raises:
        RequestError: see docs/errors.md.
    """
    return await answer(request, ChatRequest, ChatFrames, prefix="chatcmpl-")
