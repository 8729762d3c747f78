"""A dialect: how one API family writes a request to generate, and its answer.

A dialect is sans-IO. The transport (http/endpoint.py) knows bytes, disconnects and back-pressure;
the service knows who may ask; a dialect turns JSON into a Generation, and events into bytes.

To add an endpoint, write a Dialect and name it in ``serve/api/app.py:DIALECTS``.
tests/contracts/dialect.py holds every dialect to what is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from serve.api.policy import Policy
from serve.errors import RequestError
from serve.pipeline.events import Event, Generation, Queued
from serve.timeline import RequestClass, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Facts that an answer may tell of itself.

    Attributes:
        request_id: the server's, ``req-`` and hexadecimal digits.
        model: the name under which the client asked.
        created: Unix seconds.
        fingerprint: changes when the same seed may give other tokens.
    """

    request_id: str
    model: str
    created: int
    fingerprint: str


class Encoder(Protocol):
    """One answer's encoder. Stateful: it is made for one answer, and thrown away with it.

    A stream is ``waiting``, any number of times, then ``open``, then ``event`` for each event, then
    ``close``; or ``error`` at any point, after which nothing is sent. Any of them may give no
    bytes. A whole answer is ``add`` for each event, which raises the error of a choice that failed,
    then ``whole``: its bytes in pieces. What is large is encoded in ``add``, while the tokens come,
    so that no moment has it all to do.
    """

    media_type: bytes
    """The stream's media type. A whole answer is JSON."""

    def waiting(self, queued: Queued) -> bytes: ...
    def open(self) -> bytes: ...
    def event(self, event: Event) -> bytes: ...
    def error(self, error: RequestError) -> bytes: ...
    def close(self, usage: Usage) -> bytes: ...
    def add(self, event: Event) -> None: ...
    def whole(self, usage: Usage) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A request as its dialect understood it.

    Attributes:
        model: the name as the client gave it; None where it gave none.
        is_stream: whether events are sent as they come.
        generation: gives what is wanted, or raises RequestError for fields that contradict each
            other: those are told after the model is known, which the record then names.
        encoder: makes the answer's encoder.
        request_class: of its turn, where its body says one.
    """

    model: str | None
    is_stream: bool
    generation: Callable[[], Generation]
    encoder: Callable[[Identity], Encoder]
    request_class: RequestClass | None = None


class Dialect(Protocol):
    """One endpoint that generates.

    Attributes:
        path: of its route; POST, and without parameters.
        name: of the operation, for /openapi.json.
        policy: what a request must pass before its body is read. It is not public, and has a scope.
        openapi: what the route adds to /openapi.json: ``tags``, ``description``, ``responses``, and
            ``body``, the pydantic type of its body. Empty hides the route.
    """

    path: str
    name: str
    policy: Policy
    openapi: Mapping[str, Any]

    def parse(self, body: Mapping[str, Any]) -> Parsed:
        """The request that a JSON object stands for.

        Any JSON values may come: whatever is not of the right type or out of range is refused here,
        ranges of sampling as ``serve.engine.protocol.SamplingParams`` has them.

        Raises:
            RequestError: it stands for none.
        """
        ...

    def problem(self, error: RequestError) -> bytes:
        """A refusal as a JSON body, in this dialect's envelope."""
        ...
