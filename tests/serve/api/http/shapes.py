"""Forty ways in which a client could take more of the event loop than its share.

    python -m tests.serve.api.http.shapes PORT NAME SECONDS [KEY]  # again and again

Each is what one connection sends, and on how many it is sent at once. With a key it is let in, and
its bytes are read to their end or to a bound; without one they are refused.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Send = Callable[[bytes, int], Iterator[bytes]]


@dataclass(frozen=True)
class Shape:
    """A connection's bytes.

    Attributes:
        send: from a head's lines for the key (or none) and a size in bytes to pieces, each written
            at once.
        num_connections: how many send it at the same time.
    """

    send: Send
    num_connections: int = 1


def post(auth: bytes, *lines: bytes) -> bytes:
    head = [b"POST /v1/chat/completions HTTP/1.1", b"Host: localhost"]
    return b"\r\n".join([*head, b"Content-Type: application/json", *lines, auth]) + b"\r\n"


def chunked(chunk: bytes, *, end: bytes = b"0\r\n\r\n") -> Send:
    """A body of these chunks, as many as fit."""

    def send(auth: bytes, size: int) -> Iterator[bytes]:
        yield post(auth, b"Transfer-Encoding: chunked")
        yield chunk * (size // len(chunk)) + end

    return send


def dribbled(chunk: bytes, num_bytes: int) -> Send:
    """The same, cut into writes of this many bytes."""

    def send(auth: bytes, size: int) -> Iterator[bytes]:
        yield post(auth, b"Transfer-Encoding: chunked")
        body = chunk * (size // len(chunk) // 16)
        for start in range(0, len(body), num_bytes):
            yield body[start : start + num_bytes]

    return send


def sized(byte: bytes, *, claim: int | None = None) -> Send:
    def send(auth: bytes, size: int) -> Iterator[bytes]:
        yield post(auth, b"Content-Length: %d" % (size if claim is None else claim))
        yield byte * size

    return send


def again(request: bytes) -> Send:
    """Requests behind each other, without waiting for answers. The auth line ends their heads."""

    def send(auth: bytes, size: int) -> Iterator[bytes]:
        one = request.replace(b"AUTH", auth)
        yield one * (size // len(one))

    return send


def head(line: bytes, *, step: int = 0, most: int = 16_000) -> Send:
    """A head of lines, as many as ``most`` bytes hold, in writes of ``step`` bytes (0: one)."""

    def send(auth: bytes, size: int) -> Iterator[bytes]:
        lines = line * (min(most, size) // len(line))
        whole = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + auth + lines + b"\r\n"
        for start in range(0, len(whole), step or len(whole)):
            yield whole[start : start + (step or len(whole))]

    return send


def raw(piece: bytes) -> Send:
    def send(auth: bytes, size: int) -> Iterator[bytes]:
        yield piece * (size // len(piece))

    return send


def trailers(line: bytes) -> Send:
    def send(auth: bytes, size: int) -> Iterator[bytes]:
        yield post(auth, b"Transfer-Encoding: chunked")
        yield b"2\r\n{}\r\n0\r\n" + line * (size // len(line)) + b"\r\n"

    return send


def behind(after: bytes) -> Send:
    """A request that takes its time, and this behind it."""

    def send(auth: bytes, size: int) -> Iterator[bytes]:
        body = b'{"model":"demo","messages":[{"role":"user","content":"x"}],"max_tokens":20}'
        yield post(auth, b"Content-Length: %d" % len(body)) + body
        yield after * (size // len(after))

    return send


_GET = b"GET /%b HTTP/1.1\r\nHost: localhost\r\nAUTH\r\n"
_EMPTY_POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAUTHContent-Type: application/json"
    b"\r\nContent-Length: 2\r\n\r\n{}"
)
_CHUNKED_POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAUTHContent-Type: application/json"
    b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
)
_ONE = b"1\r\n \r\n"

SHAPES: dict[str, Shape] = {
    # Chunks
    "one-byte chunks": Shape(chunked(_ONE)),
    "one-byte chunks without an end": Shape(chunked(_ONE, end=b"")),
    "two-byte chunks": Shape(chunked(b"2\r\n  \r\n")),
    "eight-byte chunks": Shape(chunked(b"8\r\n" + b" " * 8 + b"\r\n")),
    "chunks of 64 bytes": Shape(chunked(b"40\r\n" + b" " * 64 + b"\r\n")),
    "chunks of 16 KiB": Shape(chunked(b"4000\r\n" + b" " * 16_384 + b"\r\n")),
    "one chunk that is too large": Shape(chunked(b"fffffff\r\n" + b" " * 65_536, end=b"")),
    "one-byte chunks with extensions": Shape(chunked(b"1;a=b\r\n \r\n")),
    "long extensions": Shape(chunked(b"1;" + b"e" * 250 + b"\r\n \r\n")),
    "an extension without an end": Shape(chunked(b"1;" + b"e" * 70_000, end=b"")),
    "leading zeros": Shape(chunked(b"0000000000000001\r\n \r\n")),
    "a size without an end": Shape(chunked(b"0" * 70_000, end=b"")),
    "chunks in writes of one byte": Shape(dribbled(_ONE, 1)),
    "chunks in writes of seven bytes": Shape(dribbled(_ONE, 7)),
    "one-byte chunks from eight": Shape(chunked(_ONE), num_connections=8),
    "bodies of two chunks": Shape(again(_CHUNKED_POST)),
    # Trailers
    "many trailers": Shape(trailers(b"x: y\r\n")),
    "empty trailers": Shape(trailers(b"x:\r\n")),
    "a trailer without an end": Shape(trailers(b"x" * 70_000)),
    # Bodies with a length
    "spaces": Shape(sized(b" ")),
    "spaces from eight": Shape(sized(b" "), num_connections=8),
    "more than the length says": Shape(sized(b" ", claim=2)),
    "less than the length says": Shape(sized(b" ", claim=1 << 30)),
    # Heads
    "many headers": Shape(head(b"x: y\r\n")),
    "empty headers": Shape(head(b"x:\r\n")),
    "headers without an end": Shape(head(b"x: y\r\n", most=1 << 23)),
    "one long header": Shape(head(b"x: " + b"y" * 15_000 + b"\r\n")),
    "a header of spaces": Shape(head(b"x: " + b" " * 15_000 + b"\x0b\r\n")),
    "headers in writes of one byte": Shape(head(b"x: y\r\n", step=1)),
    "one header in writes of one byte": Shape(head(b"y" * 16_000, step=1)),
    "a request line without an end": Shape(raw(b"G" * 4096)),
    # Requests behind each other
    "tiny GETs": Shape(again(_GET % b"livez")),
    "GETs of no route": Shape(again(_GET % b"nope")),
    "tiny GETs from eight": Shape(again(_GET % b"livez"), num_connections=8),
    "tiny POSTs": Shape(again(_EMPTY_POST)),
    "GETs behind a request that runs": Shape(behind(_GET.replace(b"AUTH", b"") % b"livez")),
    "bytes behind a request that runs": Shape(behind(b"x" * 4096)),
    # Neither
    "blank lines": Shape(raw(b"\r\n")),
    "line feeds": Shape(raw(b"\n")),
    "noise": Shape(raw(bytes(range(256)))),
}


def flood(port: int, name: str, seconds: float, key: str | None) -> int:
    """Send a shape again and again; returns how many times it was sent whole or cut off."""
    shape = SHAPES[name]
    auth = f"Authorization: Bearer {key}\r\n".encode() if key else b""
    until = time.monotonic() + seconds
    counts = [0] * shape.num_connections

    def one(number: int) -> None:
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                _send(port, shape.send(auth, 6 << 20), until)
            counts[number] += 1

    threads = [threading.Thread(target=one, args=(n,)) for n in range(shape.num_connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _send(port: int, pieces: Iterator[bytes], until: float) -> None:
    """Write, and read what comes, until the server closes the connection or leaves us waiting."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        piece = memoryview(next(pieces))
        while time.monotonic() < until:
            wants = [connection] if piece else []
            readable, writable, _ = select.select([connection], wants, [], 0.5)
            if readable and not connection.recv(1 << 18):
                return
            if writable:
                piece = piece[connection.send(piece) :] or memoryview(next(pieces, b""))
            if not readable and not writable:
                return


if __name__ == "__main__":
    _, port_, name_, seconds_, *key_ = sys.argv
    print(flood(int(port_), name_, float(seconds_), key_[0] if key_ else None))
