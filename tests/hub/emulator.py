"""The Hugging Face Hub as the real huggingface_hub client sees it, on two loopback ports.

The first port answers the API and `resolve`; files stored with Git LFS are redirected to the
second, which plays the CDN: another origin, so a token must not arrive there. Status codes and
headers follow the Hub's (``X-Error-Code``, ``X-Repo-Commit``, ``X-Linked-Etag``, ...). What the
real one has and this has not: the xet protocol (clients fall back to HTTP), pagination, datasets.

In a test::

    with Hub() as hub:
        hub.add("Qwen/Qwen2-7B-Instruct", files)
        hub.fault("model.safetensors", cut_after=1000)

As a process, for end-to-end tests (it prints its address)::

    python -m tests.hub.emulator Qwen/Qwen2-7B-Instruct=./folder [--gated --token hf_x] [--port 0]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from tests.hub.repos import Blob, Fault, Repo, Seen, read_folder

CHUNK_BYTES = 16 << 10


class Hub:
    """The emulator. Its repositories, faults and requests may be looked at while it runs.

    Args:
        token: lets its owner into gated repositories; any other token is known and not let in,
            if it begins with ``hf_``, and unknown otherwise.
        bytes_per_s: how fast each connection is; None for as fast as it goes.
        port: of the API; 0 for any free one.
        tls: with a certificate, for an https address.
    """

    def __init__(
        self,
        *,
        token: str = "hf_let_in",
        bytes_per_s: int | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = token
        self.bytes_per_s = bytes_per_s
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.lists_hashes = True  # False: a mirror that lists names only
        self.says_heads = True  # False: a proxy that answers HEAD with a length of 0
        self.tells_git = True  # False: a proxy whose ETag is the SHA-1 of the content
        self.lock = threading.Lock()
        self._api = _Server(self, port, is_cdn=False)
        self._cdn = _Server(self, 0, is_cdn=True)
        self._scheme = "https" if tls else "http"
        for server in (self._api, self._cdn) if tls else ():
            server.socket = tls.wrap_socket(server.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._api.server_port}"

    @property
    def cdn_url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._cdn.server_port}"

    def add(self, name: str, files: Mapping[str, bytes] | Path, *, gated: bool = False) -> str:
        """A repository with one commit on main, or one more commit. Returns the commit's id."""
        contents = read_folder(files) if isinstance(files, Path) else files
        repo = self.repos.setdefault(name, Repo(name, gated=gated))
        return repo.push(contents)

    def fault(self, path: str, **facts: Any) -> None:
        """Plan a fault; see Fault."""
        self.faults.append(Fault(path, **facts))

    def fault_for(self, path: str) -> Fault | None:
        """The planned fault of this request, used up by it."""
        with self.lock:
            for fault in self.faults:
                if fault.times and path.endswith(fault.path):
                    fault.times -= 1
                    return fault
        return None

    def paths(self, ending: str = "") -> list[str]:
        """Paths of the requests so far that end so, the CDN's not."""
        return [seen.path for seen in self.seen if seen.path.endswith(ending) and not seen.is_cdn]

    def start(self) -> Self:
        for server in (self._api, self._cdn):
            # Polled often: closing waits for one round.
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def close(self) -> None:
        for server in (self._api, self._cdn):
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: Hub, port: int, *, is_cdn: bool) -> None:
        super().__init__(("127.0.0.1", port), _Requests)
        self.hub = hub
        self.is_cdn = is_cdn

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error of ours."""


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None: ...

    def _answer(self) -> None:
        hub, address = self.server.hub, urlsplit(self.path)
        path = unquote(address.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.seen.append(Seen(self.command, path, address.query, headers, self.server.is_cdn))
        # A redirect is not worth a fault of its own: LFS files fail at the CDN.
        fault = hub.fault_for(path) if self.command == "GET" and not self._redirects(path) else None
        if fault is not None and fault.status is not None:
            retry = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
            self._send(fault.status, fault.body, {**retry, **fault.headers})
        elif self.server.is_cdn:
            _, _, sha256, *_ = path.split("/")
            blob = self._by_sha256(sha256)
            self._send_file(blob, fault, {}) if blob else self._send(404)
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/").split("/"))
        else:
            self._resolve(path.removeprefix("/").split("/"), fault)

    def _redirects(self, path: str) -> bool:
        parts = path.split("/")
        repo = self.server.hub.repos.get("/".join(parts[1:3]))
        commit = repo.resolve(parts[4]) if repo and len(parts) > 5 else None
        blob = repo.commits[commit].get("/".join(parts[5:])) if repo and commit else None
        return blob is not None and blob.is_lfs

    def _by_sha256(self, sha256: str) -> Blob | None:
        for repo in list(self.server.hub.repos.values()):
            for blobs in list(repo.commits.values()):
                for blob in blobs.values():
                    if blob.is_lfs and blob.sha256 == sha256:
                        return blob
        return None

    def _api(self, parts: list[str]) -> None:
        """``OWNER/NAME[/revision/REV]`` and ``OWNER/NAME/tree/REV``."""
        repo = self.server.hub.repos.get("/".join(parts[:2]))
        if repo is None:
            self._refuse_unknown()
            return
        commit = repo.resolve(parts[3] if len(parts) > 3 else "main")
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {parts[3]}")
            return
        blobs = repo.commits[commit]
        if parts[2:3] == ["tree"]:
            document: object = [
                {"type": "file", "path": path, "oid": blob.git_id, "size": len(blob.content)}
                | ({"lfs": _lfs(blob, "oid")} if blob.is_lfs else {})
                for path, blob in blobs.items()
            ]
        else:
            siblings = [
                {"rfilename": path} | (_facts(blob) if self.server.hub.lists_hashes else {})
                for path, blob in blobs.items()
            ]
            document = {
                "id": repo.name,
                "sha": commit,
                "private": False,
                "gated": "manual" if repo.gated else False,
                "tags": [],
                "cardData": repo.card,
                "siblings": siblings,
            }
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _resolve(self, parts: list[str], fault: Fault | None) -> None:
        """``OWNER/NAME/resolve/REV/PATH``."""
        repo = self.server.hub.repos.get("/".join(parts[:2]))
        if repo is None or parts[2:3] != ["resolve"] or len(parts) < 5:
            self._refuse_unknown()
            return
        commit, path = repo.resolve(parts[3]), "/".join(parts[4:])
        if repo.gated and not self._is_let_in(repo):
            return
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {parts[3]}")
            return
        blob = repo.commits[commit].get(path)
        if blob is None:
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if blob.is_lfs:
            headers |= {
                "X-Linked-Etag": f'"{blob.sha256}"',
                "X-Linked-Size": str(len(blob.content)),
                "Location": f"{self.server.hub.cdn_url}/lfs/{blob.sha256}/{quote(path)}?sig=secret",
            }
            self._send(302, b"", headers)
        else:
            self._send_file(blob, fault, headers)

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _is_let_in(self, repo: Repo) -> bool:
        if self._token() == self.server.hub.token:
            return True
        text = f"Access to model {repo.name} is restricted."
        self._refuse(403 if self._token().startswith("hf_") else 401, "GatedRepo", text)
        return False

    def _refuse_unknown(self) -> None:
        """Without a token the Hub does not say whether a repository is private or absent."""
        has_token = bool(self._token())
        text = "Repository not found" if has_token else "Invalid username or password."
        self._refuse(404 if has_token else 401, "RepoNotFound", text)

    def _refuse(self, status: int, code: str, text: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": text}
        self._send(status, json.dumps({"error": text}).encode(), headers)

    def _send_file(self, blob: Blob, fault: Fault | None, headers: Mapping[str, str]) -> None:
        content, status = blob.content, 200
        etag = blob.etag
        if not self.server.hub.tells_git and not blob.is_lfs:
            etag = hashlib.sha1(content).hexdigest()
        extra = {"ETag": f'"{etag}"', **headers}
        if self.command == "HEAD" and not self.server.hub.says_heads:
            extra["Content-Length"] = "0"
        if fault is not None and fault.flip_at is not None:
            at = fault.flip_at
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes=") and not (fault is not None and fault.ignore_range):
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(begin), int(end or len(content) - 1)
            if first >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            extra["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        self._send(status, content, extra, fault)

    def _send(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        fault: Fault | None = None,
    ) -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = fault.cut_after if fault else None
        rate = (fault.bytes_per_s if fault else None) or self.server.hub.bytes_per_s
        body = body if cut is None else body[:cut]
        for begin in range(0, len(body), CHUNK_BYTES):
            chunk = body[begin : begin + CHUNK_BYTES]
            self.wfile.write(chunk)
            if rate is not None:
                time.sleep(len(chunk) / rate)
        if cut is not None:
            self.close_connection = True


def _facts(blob: Blob) -> dict[str, object]:
    facts: dict[str, object] = {"size": len(blob.content), "blobId": blob.git_id}
    return facts | ({"lfs": _lfs(blob, "sha256")} if blob.is_lfs else {})


def _lfs(blob: Blob, key: str) -> dict[str, object]:
    return {key: blob.sha256, "size": len(blob.content), "pointerSize": blob.pointer_size}


def main(argv: list[str]) -> int:
    """Serve folders until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub.emulator", description=__doc__)
    parser.add_argument("repos", nargs="+", metavar="OWNER/NAME=FOLDER")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--gated", action="store_true")
    parser.add_argument("--token", default="hf_let_in")
    parser.add_argument("--bytes-per-s", type=int)
    options = parser.parse_args(argv)
    with Hub(token=options.token, bytes_per_s=options.bytes_per_s, port=options.port) as hub:
        for text in options.repos:
            name, _, folder = text.partition("=")
            hub.add(name, Path(folder), gated=options.gated)
        print(hub.url, flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
