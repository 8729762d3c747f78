"""What the two completion routes have in common: from a body to a response that is ready to run."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from serve.api.context import record_of, state_of
from serve.api.http.body import read_object
from serve.api.http.responses import EventStreamResponse, WholeResponse
from serve.api.openai.chat_request import ChatRequest
from serve.api.openai.completion_request import CompletionRequest
from serve.api.openai.encoders import ChatFrames, Identity, TextFrames
from serve.api.openai.parsing import parse_wire
from serve.api.operations.health import server_version
from serve.engine.protocol import EngineInfo
from serve.errors import InternalError
from serve.observe.record import RequestRecord


async def answer(
    request: Request,
    kind: type[ChatRequest | CompletionRequest],
    frames_kind: type[ChatFrames | TextFrames],
    *,
    prefix: str,
) -> Response:
    """Parse the request; the response that is returned runs it.

    Args:
        kind: the wire format of the request.
        frames_kind: the wire format of the answer.
        prefix: of the answer's id; the rest is the request's id, so that either finds the other.

    Raises:
        RequestError: the request cannot be run as it is.
    """
    state = state_of(request)
    record = record_of(request.scope)
    pipeline = state.accepting_pipeline()
    wire = parse_wire(kind, await read_object(request))
    record.model = state.check_model(wire.model)
    record.is_stream = bool(wire.stream)
    info = pipeline.engine.info
    generate_request = wire.to_generate(
        info, request_id=record.request_id, tenant=_tenant(record), timeline=record.timeline
    )
    served = state.config.model_names[0]
    if record.model in state.config.adapters:
        served = record.model
        generate_request = replace(generate_request, adapter=served)
    frames = frames_kind(
        Identity(
            id=prefix + record.request_id.removeprefix("req-"),
            model=record.model,
            created=int(time.time()),
            system_fingerprint=_fingerprint(served, info),
        ),
        has_usage=wire.has_usage_chunk,
        has_logprobs=generate_request.sampling.num_logprobs is not None,
    )
    # While it is down a stream is refused by status: one that began could only end with an error.
    await pipeline.engine.check_health()
    if not wire.stream:
        return WholeResponse(pipeline, generate_request, frames)
    return EventStreamResponse(
        pipeline, generate_request, frames, has_usage_chunk=wire.has_usage_chunk
    )


def _tenant(record: RequestRecord) -> str:
    """Whose cached prefixes the request may use. Never a default: the gate has named everyone."""
    if record.key_id is None:
        raise InternalError("The request has no principal.")
    return record.key_id


@lru_cache(maxsize=8)
def _fingerprint(model: str, info: EngineInfo) -> str:
    """Changes when the same seed may give other tokens: model, engine, type, device, version."""
    parts = (model, info.name, info.dtype, info.device, info.vocab_size, server_version())
    return "fp_" + hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
