"""A stand-in for a package index on loopback: PEP 503's pages over folders of wheels."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote


@dataclass
class Index:
    """Indexes by name, each a folder of wheels at ``{url}/{name}/``.

    Attributes:
        asked: the paths of all requests.
    """

    folders: Mapping[str, Path]
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> bytes | None:
        """A package's page, or a wheel; None for 404."""
        index, _, rest = unquote(path).strip("/").partition("/")
        wheels = sorted(self.folders[index].glob("*.whl")) if index in self.folders else []
        if rest.endswith(".whl"):
            return next((wheel.read_bytes() for wheel in wheels if wheel.name == rest), None)
        links = [
            f'<a href="/{index}/{quote(wheel.name)}#sha256={_sha256(wheel)}">{wheel.name}</a>'
            for wheel in wheels
            if wheel.name.split("-")[0].replace("_", "-") == rest
        ]
        return f"<!DOCTYPE html><body>{''.join(links)}</body>".encode() if links else None


@contextmanager
def index(**folders: Path) -> Iterator[Index]:
    """Serve these folders while the context lasts."""
    served = Index(folders)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            body = served.answer(self.path)
            self.send_response(404 if body is None else 200)
            kind = "application/octet-stream" if self.path.endswith(".whl") else "text/html"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
