"""/v1/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from serve.api.answers import answer
from serve.api.frames import TextFrames
from serve.api.replies import Completion, described
from serve.api.schema import request_body
from serve.api.wire_completions import CompletionRequest

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
