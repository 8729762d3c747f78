"""A server for tests of the chat: a real socket, answers from a list, and what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass
class Reply:
    """An answer.

    Attributes:
        parts: texts of a stream, one event each.
        status: another than 200 is a refusal, with ``body``.
        hangs: after the parts it says nothing, until the client leaves.
        tail: raw bytes after the parts, in place of the end of a stream.
    """

    parts: Sequence[str] = ()
    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    tail: bytes | None = None
    finish_reason: str = "stop"


def refusal(status: int, message: str, code: str | None = None) -> Reply:
    return Reply(status=status, body=json.dumps({"error": {"message": message, "code": code}}))


@dataclass
class StandIn:
    """What the server does and has seen."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    models: Reply = field(
        default_factory=lambda: Reply(body='{"data": [{"id": "demo"}, {"id": "other"}]}')
    )
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    was_left: threading.Event = field(default_factory=threading.Event)


@contextmanager
def standing_in(*replies: Reply) -> Iterator[StandIn]:
    """Serve on loopback within."""
    state = StandIn(replies=list(replies))

    class Handler(_Handler):
        stand_in = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn

    def do_GET(self) -> None:
        self._note()
        self._whole(self.stand_in.models)

    def do_POST(self) -> None:
        self._note()
        length = int(self.headers["content-length"])
        self.stand_in.bodies.append(json.loads(self.rfile.read(length)))
        reply = self.stand_in.replies.pop(0)
        if reply.status != 200:
            self._whole(reply)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            self._stream(reply)
        except OSError:
            self.stand_in.was_left.set()

    def _note(self) -> None:
        self.stand_in.paths.append(self.path)
        self.stand_in.keys.append(self.headers["authorization"])

    def _whole(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body.encode())

    def _stream(self, reply: Reply) -> None:
        deltas: list[dict[str, str]] = [
            {"role": "assistant"},
            *({"content": p} for p in reply.parts),
        ]
        for delta in deltas:
            self._event({"choices": [{"delta": delta}]})
        while reply.hangs:  # a comment now and then, which tells whether the client is there
            self.wfile.write(b": here\n\n")
            self.stand_in.was_left.wait(0.01)
        if reply.tail is not None:
            self.wfile.write(reply.tail)
            return
        self._event({"choices": [{"delta": {}, "finish_reason": reply.finish_reason}]})
        self._event({"choices": [], "usage": USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""
