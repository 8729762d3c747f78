"""A witness of audit logs that refuses, and the flags of a server that asks it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner


def witnessed(folder: Path, port: int) -> tuple[str, str]:
    """The flags of a server whose log a witness on this port is to cosign."""
    witness = NoteSigner.generate("witness.example.org", COSIGNATURE)
    file = folder / "witness.toml"
    file.write_text(
        f'every_s = 1\n[[witness]]\nurl = "http://127.0.0.1:{port}"\naddress = "127.0.0.1"\n'
        f'port = {port}\nallow_http = true\nkey = "{witness.verifier.text}"\n'
    )
    return "--audit-witness-file", str(file)


@contextmanager
def refusing_witness(port: int) -> Iterator[None]:
    """A witness that refuses whatever it is asked."""
    with HTTPServer(("127.0.0.1", port), _Refusing) as witness:
        serving = threading.Thread(target=witness.serve_forever, daemon=True)
        serving.start()
        yield
        witness.shutdown()
        serving.join()


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(422)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...
