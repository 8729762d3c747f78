"""The witness over HTTP: an ASGI application of two routes, without a framework.

::

    POST /add-checkpoint                200 a cosignature; 400 403 404 409 422 as tlog-witness says
    GET  /<origin hash>/checkpoint      the last checkpoint cosigned; 404 before the first
    GET  /healthz                       200 while the process runs
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from serve.governance.audit.tlog.notes import InvalidNote
from serve.governance.audit.witness import request_body
from serve.governance.audit.witness.cosigning import (
    InconsistentError,
    OtherSizeError,
    RefusedError,
    Witness,
    origin_of,
)
from serve.governance.audit.witness.mirrors import Mirrors
from serve.governance.audit.witness.state import origin_hash

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
_MONITORED = re.compile(r"/([0-9a-f]{64})/checkpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT_TYPE


class WitnessApplication:
    """The ASGI application.

    Args:
        mirrors: of logs whose folders can be read; they say where a refused log differs.
    """

    def __init__(self, witness: Witness, mirrors: Mirrors | None = None) -> None:
        self._witness = witness
        self._mirrors = mirrors
        self._lock = threading.Lock()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        reply = await self._replied(scope["method"], scope["path"], receive)
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": int(reply.status), "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _replied(self, method: str, path: str, receive: Receive) -> Reply:
        if path == "/add-checkpoint":
            if method != "POST":
                return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "POST it")
            body = await _body(receive)
            if body is None:
                return _plain(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"at most {request_body.MAX_BODY_BYTES} bytes are read",
                )
            return await asyncio.to_thread(self.add_checkpoint, body)
        if method not in ("GET", "HEAD"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "GET it")
        if path == "/healthz":
            return _plain(HTTPStatus.OK, "ok")
        match = _MONITORED.fullmatch(path)
        known = {origin_hash(origin): origin for origin in self._witness.origins} if match else {}
        origin = known.get(match[1]) if match else None
        kept: bytes | None = None
        if origin is not None:
            kept = await asyncio.to_thread(self._witness.state.checkpoint, origin)
        if kept is None:
            return _plain(HTTPStatus.NOT_FOUND, "there is nothing here")
        return Reply(status=HTTPStatus.OK, body=kept)

    def add_checkpoint(self, body: bytes) -> Reply:
        """The answer to a body of ``POST /add-checkpoint``."""
        try:
            submission = request_body.parse(body)
            signature = self._witness.cosign(submission)
        except ValueError as error:
            if isinstance(error, InvalidNote):
                log.critical("what this witness kept is damaged", extra={"reason": str(error)})
                return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "the witness needs its operator")
            return _plain(HTTPStatus.BAD_REQUEST, str(error))
        except OtherSizeError as error:
            return Reply(status=error.status, body=b"%d\n" % error.size, content_type=SIZE_TYPE)
        except InconsistentError as error:
            with self._lock:
                more = self._mirrors.located(error) if self._mirrors else ""
            log.critical(
                "a log has another past than was cosigned",
                extra={"origin": error.origin, "reason": str(error), "found": more},
            )
            return _plain(error.status, f"{error}\n{more}".rstrip())
        except RefusedError as error:
            log.warning(
                "a checkpoint was refused",
                extra={"origin": _origin(submission.checkpoint), "reason": str(error)},
            )
            return _plain(error.status, str(error))
        except OSError as error:
            log.critical("a checkpoint could not be kept", extra={"reason": str(error)})
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "the witness needs its operator")
        if self._mirrors is not None:
            with self._lock:
                self._mirrors.follow(origin_of(submission.checkpoint))
        return Reply(status=HTTPStatus.OK, body=signature.line.encode())


def _origin(checkpoint: bytes) -> str:
    """The log that a refused checkpoint says it is of; nothing where it says none."""
    try:
        return origin_of(checkpoint)
    except InvalidNote:
        return ""


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None where it is longer than is read."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > request_body.MAX_BODY_BYTES:
            return None
        if not message.get("more_body") or message["type"] == "http.disconnect":
            return body


def _plain(status: HTTPStatus, text: str) -> Reply:
    return Reply(status=status, body=f"{text}\n".encode())
