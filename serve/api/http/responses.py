"""From the pipeline's events to an answer on the wire, as server-sent events or as one JSON body.

An answer starts with its first text, not before: a refusal, and an engine that dies while the
request waits in it, have a true status, and whoever asked may ask another replica. Once a byte of
an answer is out nobody can. All of a request's life in the pipeline lies
within one ``async with``: the generator is made, primed, read and closed in one place, so there is
no moment in which a client could leave and the slot would stay taken.

Backpressure: an event is pulled only when the one before has been handed to the socket, and a full
socket makes ``send`` wait. What the engine makes in the meantime it delivers as one larger chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve.api.context import TextPipeline, direct_send, record_of
from serve.api.http.connection import WhileConnected
from serve.api.openai.encoders import DONE, Collected, Frames, error_frame
from serve.errors import Draining, InternalError, RequestError
from serve.observe.record import RequestRecord
from serve.pipeline.events import Event, Finished, GenerateRequest, Started, TextDelta

SSE_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),  # nginx would gather events into blocks
]


class GenerationResponse(Response):
    """Answers one request. Nothing is taken from the pipeline before it is called."""

    def __init__(self, pipeline: TextPipeline, request: GenerateRequest, frames: Frames) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._request = request
        self._frames = frames


class WholeResponse(GenerationResponse):
    """One JSON body, when all choices are complete. An error at any point has its status."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        choices = [Collected(index) for index in range(self._request.num_choices)]
        async with (
            WhileConnected(receive),
            aclosing(self._pipeline.generate(self._request)) as events,
        ):
            await _prime(events)
            async for event in events:
                _collect(choices, event)
        body = self._frames.whole(choices, self._request.timeline.usage)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class EventStreamResponse(GenerationResponse):
    """Server-sent events, each as soon as it is there."""

    def __init__(
        self,
        pipeline: TextPipeline,
        request: GenerateRequest,
        frames: Frames,
        *,
        has_usage_chunk: bool,
    ) -> None:
        super().__init__(pipeline, request, frames)
        self._has_usage_chunk = has_usage_chunk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        has_started = False
        try:
            async with (
                WhileConnected(receive),
                aclosing(self._pipeline.generate(self._request)) as events,
            ):
                await _prime(events)
                first = await _first(events)
                has_started = True
                start = {"type": "http.response.start", "status": 200, "headers": SSE_HEADERS}
                await send(start)
                send = direct_send(scope, send)
                last = await self._pump(first, events, send, record)
        except asyncio.CancelledError:
            if has_started:  # the server's patience with running requests has ended
                error = Draining("The server stopped before the answer was complete. Ask again.")
                await send(_piece(_failed(record, error), more=False))
            raise
        await send(_piece(last, more=False))

    async def _pump(
        self, first: Event, events: AsyncGenerator[Event, None], send: Send, record: RequestRecord
    ) -> bytes:
        """Send the first event and what the pipeline yields then; returns what is left to send."""
        frames = self._frames
        event: Event | None = first
        try:
            while event is not None:
                if isinstance(event, TextDelta):
                    await send(_piece(frames.delta(event)))
                elif isinstance(event, Finished):
                    if event.reason == "error":
                        return _failed(record, event.error)
                    await send(_piece(frames.finish(event)))
                event = await anext(events, None)
        except RequestError as error:  # the pipeline's contract has these in-band; be sure
            return _failed(record, error)
        if self._has_usage_chunk:
            return frames.usage(self._request.timeline.usage) + DONE
        return DONE


async def _prime(events: AsyncGenerator[Event, None]) -> None:
    """Wait for ``Started``. Raises the request's refusal, if there is one."""
    first = await anext(events, None)
    if not isinstance(first, Started):
        raise InternalError("The pipeline did not start the request.")


async def _first(events: AsyncGenerator[Event, None]) -> Event:
    """The first text of any choice, or an end without one. Raises the error that came instead."""
    event = await anext(events, None)
    if event is None:
        raise InternalError("The pipeline ended the request without an end.")
    if isinstance(event, Finished) and event.reason == "error":
        raise _error_of(event.error)
    return event


def _collect(choices: list[Collected], event: Event) -> None:
    """Add an event to its choice. Raises the error of a choice that failed."""
    if isinstance(event, TextDelta):
        choice = choices[event.index]
        choice.pieces.append(event.text)
        choice.logprobs.extend(event.logprobs)
    elif isinstance(event, Finished):
        if event.reason == "error":
            raise _error_of(event.error)
        choices[event.index].reason = event.reason


def _error_of(error: RequestError | None) -> RequestError:
    return error or InternalError("The request failed without a reason: a defect of ours.")


def _failed(record: RequestRecord, error: RequestError | None) -> bytes:
    """The end of a stream that failed."""
    error = _error_of(error)
    record.error_code = error.code
    return error_frame(error) + DONE


def _piece(body: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}
