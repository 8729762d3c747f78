"""Hubs that do what none should: fifty shapes of answers, on a raw loopback socket.

A shape answers each request by hand, so that it can break HTTP itself. What it sends is counted:
a client that is in its right mind stops asking for more.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

REPO = "acme/model"
COMMIT = "a" * 40
WEIGHTS = b"w" * 2000
CONFIG = b'{"model_type": "qwen2"}'
Send = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its method, its path without the query, and its Range."""

    method: str
    path: str
    range: str


Answer = Callable[[Asked, Send], None]


def head(status: object = "200 OK", *, length: object = None, **headers: object) -> bytes:
    """A status line and headers; underscores in names are dashes."""
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    lines += [f"Content-Length: {length}"] if length is not None else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(body: bytes, status: str = "200 OK", **headers: object) -> bytes:
    return head(status, length=len(body), **headers) + body


def listing(*siblings: object, **facts: Any) -> bytes:
    """The JSON of a repository; without siblings those of a small model."""
    files: tuple[object, ...] = siblings or (
        sibling("config.json", CONFIG),
        sibling("model.safetensors", WEIGHTS, is_lfs=True),
    )
    document = {"id": REPO, "sha": COMMIT, "private": False, "tags": [], "siblings": files}
    return json.dumps(document | facts).encode()


def sibling(path: object, content: bytes, *, is_lfs: bool = False, **facts: Any) -> dict[str, Any]:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 99}
    entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git}
    return entry | ({"lfs": lfs} if is_lfs else {}) | facts


def weights(**lfs: object) -> dict[str, Any]:
    """The weights' entry, with other facts than the true ones."""
    entry = sibling("model.safetensors", WEIGHTS, is_lfs=True)
    return entry | {"lfs": entry["lfs"] | lfs}


def lists(body: bytes, **headers: object) -> Answer:
    """This listing, and honest files."""

    def answer(asked: Asked, send: Send) -> None:
        if "/api/" in asked.path:
            send(whole(body, Content_Type="application/json", **headers))
        else:
            _file(asked, send)

    return answer


def serves(answer_file: Answer) -> Answer:
    """An honest listing, and files as this answers them."""

    def answer(asked: Asked, send: Send) -> None:
        if "/api/" in asked.path:
            send(whole(listing(), Content_Type="application/json"))
        else:
            answer_file(asked, send)

    return answer


def always(answer: bytes) -> Answer:
    return lambda _, send: send(answer)


def without_end(begin: bytes, piece: bytes) -> Answer:
    """Sends pieces until the client has enough."""

    def answer(_: Asked, send: Send) -> None:
        send(begin)
        while True:
            send(piece)

    return answer


def redirect(to: str, status: str = "302 Found") -> bytes:
    return head(status, length=0, Location=to)


def _content(asked: Asked) -> bytes:
    return CONFIG if asked.path.endswith("config.json") else WEIGHTS


def _file(asked: Asked, send: Send) -> None:
    send(whole(b"" if asked.method == "HEAD" else _content(asked)))


def _bomb(num_bytes: int) -> bytes:
    return gzip.compress(bytes(num_bytes))


def _cut(asked: Asked, send: Send) -> None:
    send(head(length=len(_content(asked))) + _content(asked)[:7])


_DEEP = b'{"siblings": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
_NAMES = (
    "../outside.json", "/etc/passwd", "a\\b.json", "a\nb.json", "con", "..", ".", "", "a//b.json",
    "x" * 5000, "\u202ename.json", "a\ud800.json",
)  # fmt: skip

SHAPES: dict[str, Answer] = {
    # Listings that are none.
    "empty answer": always(b""),
    "not http": always(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "http 0.9": always(b"<html>hello</html>"),
    "status 999": always(whole(b"", "999 What")),
    "status of words": always(b"HTTP/1.1 abc OK\r\n\r\n"),
    "only continues": without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "files of continues": serves(without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 64)),
    "no content": always(head("204 No Content")),
    "html": always(whole(b"<html>log in</html>", Content_Type="text/html")),
    "json of a list": lists(b"[]"),
    "json of null": lists(b"null"),
    "json of a number": lists(b"7"),
    "json that is cut": lists(listing()[:-20]),
    "json in utf-16": lists(listing().decode().encode("utf-16")),
    "json so deep": lists(_DEEP),
    "nan": lists(b'{"sha": NaN, "siblings": [{"rfilename": "a", "size": NaN}]}'),
    "no commit": lists(listing(sha=None)),
    "commit of words": lists(listing(sha="main/../..")),
    "siblings null": lists(listing(siblings=None)),
    "siblings of words": lists(listing("config.json", "model.safetensors")),
    "no weights": lists(listing(sibling("config.json", CONFIG))),
    "pickles only": lists(listing(sibling("pytorch_model.bin", WEIGHTS, is_lfs=True))),
    "two of one name": lists(listing(weights(), weights())),
    "sizes below zero": lists(listing(weights(size=-5))),
    "sizes of words": lists(listing(weights(size="big"))),
    "an exabyte": lists(listing(weights(size=1 << 60))),
    "hashes of words": lists(listing(weights(sha256="none"))),
    "many files": lists(
        listing(*[sibling(f"part-{number}.json", b"{}") for number in range(20_000)], weights())
    ),
    # Listings without end.
    "listing without end": without_end(head(Content_Type="application/json"), b" " * 65536),
    "chunks without end": without_end(head(Transfer_Encoding="chunked"), b"1\r\n \r\n" * 8192),
    "siblings without end": without_end(head() + b'{"siblings": [', b'{"rfilename": "a"},' * 4096),
    "headers without end": without_end(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"b" * 4096 + b"\r\n"),
    "a header line without end": without_end(b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 65536),
    "a refusal without end": without_end(head("403 Forbidden"), b"no " * 20_000),
    "gzip bomb": lists(_bomb(200 << 20), Content_Encoding="gzip"),
    "a bomb of a refusal": always(whole(_bomb(50 << 20), "404 Gone", Content_Encoding="gzip")),
    "an encoding of words": lists(listing(), Content_Encoding="secret"),
    # Elsewhere.
    "a circle": always(redirect("/api/models/acme/model")),
    "to a file": always(redirect("file:///etc/passwd")),
    "to nowhere": always(redirect("http://")),
    "to a closed port": always(redirect("http://127.0.0.1:9/")),
    "to a scheme of words": always(redirect("gopher://127.0.0.1/")),
    # Honest listings, and files that are not.
    "files cut": serves(_cut),
    "files of other bytes": serves(lambda asked, send: send(whole(_content(asked)[::-1]))),
    "files without end": serves(without_end(head(), b"x" * 65536)),
    "files in gzip": serves(always(whole(_bomb(50 << 20), Content_Encoding="gzip"))),
    "files that are pages": serves(always(whole(b"<html>log in</html>", Content_Type="text/html"))),
    "a part that was not asked for": serves(
        always(whole(b"zzz", "206 Partial Content", Content_Range="bytes 900-902/2000"))
    ),
    "a range of words": serves(always(whole(b"zzz", "206 Partial Content", Content_Range="words"))),
    "files forbidden": serves(always(whole(b"no", "403 Forbidden"))),
    "files gone": serves(always(whole(b"no", "410 Gone"))),
    "wait a year": serves(always(whole(b"later", "429 Too Many Requests", Retry_After="31536000"))),
    "lengths that lie": serves(always(head(length=3) + b"x" * 4000)),
    "lengths below zero": serves(always(head(length=-1) + b"x")),
    "lengths of words": serves(always(head(length="many") + b"x")),
}
SHAPES |= {
    f"name {number}": lists(
        listing(sibling(name, CONFIG), sibling("model.safetensors", WEIGHTS, is_lfs=True))
    )
    for number, name in enumerate(_NAMES)
}


@dataclass
class HostileHub:
    """One shape on a port of its own.

    Attributes:
        num_bytes: sent so far.
    """

    answer: Answer
    num_bytes: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        def send(data: bytes) -> None:
            connection.sendall(data)
            self.num_bytes += len(data)

        with connection, contextlib.suppress(OSError):
            asked = _asked(connection)
            if asked is not None:
                self.answer(asked, send)


def _asked(connection: socket.socket) -> Asked | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = connection.recv(4096)
        if not piece:
            return None
        raw += piece
    lines = raw.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    ranges = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("range:")]
    return Asked(method, target.partition("?")[0], "".join(ranges))
