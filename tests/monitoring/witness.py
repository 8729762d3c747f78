"""Witnesses of audit logs, and the flags of a server that asks one of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from serve.governance.audit.tlog.key_files import read_signer, read_verifiers, write_signer
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner
from serve.governance.audit.witness.application import WitnessApplication
from serve.governance.audit.witness.cosigning import Witness
from serve.governance.audit.witness.state import WitnessState


def witnessed(folder: Path, port: int) -> tuple[str, str]:
    """The flags of a server whose log a witness on this port is to cosign."""
    witness = NoteSigner.generate("witness.example.org", COSIGNATURE)
    write_signer(folder / "witness.key", witness)
    file = folder / "witness.toml"
    file.write_text(
        f'every_s = 1\n[[witness]]\nurl = "http://127.0.0.1:{port}"\naddress = "127.0.0.1"\n'
        f'port = {port}\nallow_http = true\nkey = "{witness.verifier.text}"\n'
    )
    return "--audit-witness-file", str(file)


@contextmanager
def signing_witness(port: int, folder: Path) -> Iterator[None]:
    """The witness of ``witnessed``, for the logs in the folder's ``audit``."""
    keys = [key for file in folder.glob("audit/*.pub") for key in read_verifiers(file)]
    with WitnessState(folder / "witness-state") as state:
        witness = Witness(read_signer(folder / "witness.key"), keys, state)
        handler = type("_Signing", (_Signing,), {"application": WitnessApplication(witness)})
        with _serving(port, handler):
            yield


@contextmanager
def refusing_witness(port: int) -> Iterator[None]:
    """A witness that refuses whatever it is asked."""
    with _serving(port, _Refusing):
        yield


@contextmanager
def _serving(port: int, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", port), handler) as witness:
        serving = threading.Thread(target=witness.serve_forever, daemon=True)
        serving.start()
        yield
        witness.shutdown()
        serving.join()


class _Signing(BaseHTTPRequestHandler):
    application: WitnessApplication

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        reply = self.application.add_checkpoint(body)
        self.send_response(reply.status)
        self.send_header("content-type", reply.content_type)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None: ...


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(422)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...
