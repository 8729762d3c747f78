"""The transport of every dialect: a body in, an answer out, as bytes.

It knows bodies, disconnects and back-pressure, and no API. An answer starts with its first text,
not before: a refusal, and an engine that dies while the request waits in it, have a true status,
and whoever asked may ask another replica. Once a byte of an answer is out nobody can. All of a
request's life in the service lies within one ``async with``: it is reserved, primed, read and
settled in one place, so there is no moment in which a client could leave and a slot stay taken.

A stream that wants to be told its place while it waits (``x-queue-updates``) is the exception: its
answer starts with the first place, and whatever goes wrong from there on is told in the stream.

Back-pressure: an event is pulled only when the one before has been handed to the socket, and a full
socket makes ``send`` wait. What the engine makes in the meantime it delivers as one larger chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Self, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serve.api.dialect import Dialect, Encoder, Identity
from serve.api.http.cache_headers import read_cache_headers
from serve.api.http.middleware import SEND_KEY, call_of
from serve.api.http.off_loop import off_loop
from serve.api.http.pieces import Turn, send_json
from serve.api.http.queue_headers import read_queue_headers
from serve.api.http.strict_json import parse_object
from serve.errors import Draining, InternalError, RequestError
from serve.pipeline.answer import error_of
from serve.pipeline.events import Event, Finished, Generation, Queued
from serve.service.call import Call
from serve.service.directory import Served
from serve.service.requests import Service


def endpoint(service: Service, dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
    """The handler of a dialect's route: it parses a request, and the response runs it."""

    async def handle(request: Request) -> Response:
        call = call_of(request.scope)
        if isinstance(route := request.scope.get("route"), Route):
            call.record.route = route.path_format  # the ledger's row is written before the end
        service.check_accepting()
        body = await request.body()
        parsed = await off_loop(len(body), lambda: dialect.parse(parse_object(body)))
        call.record.is_stream = parsed.is_stream
        read_queue_headers(request.scope, call, parsed)
        read_cache_headers(request.scope, call)
        served = service.served(call, parsed.model)
        generation = await off_loop(len(body), parsed.generation)
        encoder = parsed.encoder(
            Identity(
                request_id=call.record.request_id,
                model=served.name,
                created=call.created,
                fingerprint=served.fingerprint,
            )
        )
        kind = StreamResponse if parsed.is_stream else WholeResponse
        return kind(service, call, served, generation, encoder)

    handle.__name__ = dialect.name
    return handle


class GenerationResponse(Response):
    """Answers one request. Nothing is taken from the service before it is called."""

    def __init__(
        self,
        service: Service,
        call: Call,
        served: Served,
        generation: Generation,
        encoder: Encoder,
    ) -> None:
        super().__init__()
        self._call = call
        self._encoder = encoder
        self._events = service.generate(call, served, generation)


class WholeResponse(GenerationResponse):
    """One JSON body, when all choices are complete. An error at any point has its status."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        turn = Turn()
        async with WhileConnected(receive, self._call), self._events as events:
            async for event in events:
                self._encoder.add(event)
                if turn.is_over(event):
                    await asyncio.sleep(0)
        await send_json(self._encoder.whole(self._call.record.timeline.usage), send)


class StreamResponse(GenerationResponse):
    """Events, each as soon as it is there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._has_started = False
        try:
            async with WhileConnected(receive, self._call), self._events as events:
                first = await _first(events)
                while isinstance(first, Queued):
                    await self._start(send)
                    await send(_body(self._encoder.waiting(first)))
                    first = await _first(events)
                opening = self._encoder.open() + self._encoder.event(first)
                await self._start(send)
                # What wraps it only looks at an answer's start, and costs each token six calls.
                send = cast("Send", scope.get(SEND_KEY, send))
                if opening:
                    await send(_body(opening))
                last = await self._pump(events, send)
        except asyncio.CancelledError:
            if self._has_started:  # the server's patience with running requests has ended
                await send(_body(self._failed(_stopped()), more=False))
            raise
        except RequestError as error:
            if not self._has_started:
                raise
            last = self._failed(error)  # its deadline, or a refusal after it was told its place
        await send(_body(last, more=False))

    async def _start(self, send: Send) -> None:
        """Send the answer's start, once."""
        if self._has_started:
            return
        headers = [
            (b"content-type", self._encoder.media_type),
            (b"x-accel-buffering", b"no"),  # nginx would gather events into blocks
        ]
        self._has_started = True
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _pump(self, events: AsyncGenerator[Event, None], send: Send) -> bytes:
        """Send what the service yields after the first event; returns what is left to send."""
        encoder, turn = self._encoder, Turn()
        try:
            async for event in events:
                if turn.is_over(event):
                    await asyncio.sleep(0)
                if isinstance(event, Finished) and event.reason == "error":
                    return self._failed(error_of(event))
                piece = encoder.event(event)
                if piece:
                    await send(_body(piece))
            return encoder.close(self._call.record.timeline.usage)
        except RequestError as error:  # the pipeline's contract has these in-band; be sure
            return self._failed(error)

    def _failed(self, error: RequestError) -> bytes:
        """The end of a stream that failed."""
        self._call.failed(error)
        return self._encoder.error(error)


class WhileConnected:
    """An async context whose body is cancelled when the client leaves.

    The call's record says so, and the body ends with ClientDisconnect instead of CancelledError. It
    works as asyncio.timeout does: the body runs in the request's own task, so that waiting for the
    next event costs nothing more than waiting for it; one small task waits for the client to leave.

    Enter it only when the request's body has been read: from then on ``receive`` tells of nothing
    but the end of the connection.
    """

    def __init__(self, receive: Receive, call: Call) -> None:
        self._receive = receive
        self._call = call
        self._has_left = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("WhileConnected needs a task")
        self._task = task
        self._num_cancels = task.cancelling()
        self._watch = asyncio.create_task(self._wait_for_end())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watch.cancel()
        if not self._has_left:
            if kind is asyncio.CancelledError:  # the server's patience has ended
                self._call.failed(_stopped())
            return
        # Not ours alone if somebody else has cancelled, too: then CancelledError goes on.
        if self._task.uncancel() <= self._num_cancels and kind is asyncio.CancelledError:
            self._call.record.is_disconnected = True
            raise ClientDisconnect from error

    async def _wait_for_end(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        self._call.record.is_disconnected = True
        self._task.cancel()


def _stopped() -> Draining:
    return Draining("The server stopped before the answer was complete. Ask again.")


async def _first(events: AsyncGenerator[Event, None]) -> Event:
    """The first text of any choice, or an end without one. Raises the error that came instead."""
    event = await anext(events, None)
    if event is None:
        raise InternalError("The pipeline ended the request without an end.")
    if isinstance(event, Finished) and event.reason == "error":
        raise error_of(event)
    return event


def _body(piece: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": piece, "more_body": more}
