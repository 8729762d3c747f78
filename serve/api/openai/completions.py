"""/v1/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serve.api.openai.completion_request import CompletionRequest
from serve.api.openai.encoders import TextFrames
from serve.api.openai.generation import answer
from serve.api.openai.schemas import Completion, described
from serve.api.openapi import request_body

router = APIRouter(prefix="/v1", tags=["completions"])


@router.post(
    "/completions",
    responses=described(Completion, stream=True),
    openapi_extra=request_body(CompletionRequest),
)
async def create_completion(request: Request) -> Response:
    """Continue one or more prompts.

    Raises:
        RequestError: see docs/errors.md.
    """
    return await answer(request, CompletionRequest, TextFrames, prefix="cmpl-")
