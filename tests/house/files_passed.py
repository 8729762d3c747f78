"""The files of ours that a request passes, counted by ``sys.setprofile`` in every thread.

    python -m tests.house.files_passed chat       # one streamed chat, the second of its kind
    python -m tests.house.files_passed quantise   # python -m quantize demo --scheme int8

Prints a JSON object: each file with the functions of it that were called. What runs once at
start-up is not counted: a first chat is asked before the counting begins.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import sys
import tempfile
import threading
from collections import defaultdict
from types import FrameType
from typing import Any

from tests.house.tree import ROOT

PACKAGES = ("serve", "models", "quantize")


class FilesPassed:
    """Every function of ours that is called while ``is_counting``, by its file."""

    def __init__(self) -> None:
        self.functions: defaultdict[str, set[str]] = defaultdict(set)
        self.is_counting = False
        self._prefixes = tuple(f"{ROOT}{os.sep}{package}{os.sep}" for package in PACKAGES)

    def install(self) -> None:
        """Count in this thread, and in every one that starts after this."""
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)

    def _on_event(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if not self.is_counting or event != "call" or code.co_name == "<module>":
            return
        if code.co_filename.startswith(self._prefixes):
            self.functions[os.path.relpath(code.co_filename, ROOT)].add(code.co_qualname)


def _chat(port: int) -> bytes:
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Where is the audit log?"}],
        "stream": True,
        "max_tokens": 8,
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse().read()
    connection.close()
    return answer


async def chat(passed: FilesPassed) -> None:
    """Serve the demo model by the transformers engine, and count the second chat."""
    from serve import bootstrap
    from serve.config import Config

    ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    config = Config(model="demo", engine="transformers", port=0)
    serving = asyncio.create_task(
        bootstrap.serve(config, on_progress=lambda *_: None, on_ready=ready.set_result)
    )
    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
    port = int((await ready).url.rsplit(":", 1)[1])
    await asyncio.to_thread(_chat, port)
    passed.is_counting = True
    answer = await asyncio.to_thread(_chat, port)
    await asyncio.sleep(0.2)  # the record is made after the last byte
    passed.is_counting = False
    if b"data: [DONE]" not in answer:
        raise RuntimeError(f"the chat was not answered: {answer[:200]!r}")
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


def quantise(passed: FilesPassed) -> None:
    """Quantise the demo model to int8, and count all of it but the measuring."""
    from quantize.__main__ import main

    with tempfile.TemporaryDirectory() as folder:
        passed.is_counting = True
        status = main(["demo", "--scheme", "int8", "--no-measure", "--data-dir", folder])
        passed.is_counting = False
    if status != 0:
        raise RuntimeError(f"quantising ended with {status}")


def run(what: str) -> dict[str, list[str]]:
    """The files, each with its functions."""
    passed = FilesPassed()
    passed.install()
    if what == "chat":
        asyncio.run(chat(passed))
    else:
        quantise(passed)
    sys.setprofile(None)
    return {name: sorted(functions) for name, functions in sorted(passed.functions.items())}


if __name__ == "__main__":
    files = run(sys.argv[1])
    sys.stdout.write("\n" + json.dumps(files) + "\n")
