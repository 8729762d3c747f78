"""The files of ours that a request passes, counted by ``sys.setprofile`` in every thread.

    python -m tests.house.files_passed chat-transformers  # the second of two streamed chats
    python -m tests.house.files_passed chat-vllm          # the same by vLLM
    python -m tests.house.files_passed chat-fake          # the same without a model
    python -m tests.house.files_passed quantise           # python -m quantize demo --scheme int8

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
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tests.house.tree import ROOT

PACKAGES = ("serve", "models", "quantize")


class FilesPassed:
    """Every function of ours that is called while ``is_counting``, by its file.

    Args:
        threads: names of the threads that are counted beside the main one; None is all.
    """

    def __init__(self, threads: frozenset[str] | None = None) -> None:
        self.functions: defaultdict[str, set[str]] = defaultdict(set)
        self._threads = threads
        self._is_counting = False
        self._prefixes = tuple(f"{ROOT}{os.sep}{package}{os.sep}" for package in PACKAGES)
        threading.setprofile(self._on_event)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count while the block runs, in this thread and in those that are counted."""
        self._is_counting = True
        sys.setprofile(self._on_event)
        try:
            yield
        finally:
            sys.setprofile(None)
            self._is_counting = False

    def _on_event(self, frame: FrameType, event: str, _argument: Any) -> None:
        thread = threading.current_thread()
        is_main = thread is threading.main_thread()
        if self._threads is not None and not is_main and thread.name not in self._threads:
            sys.setprofile(None)  # this thread's alone
            return
        code = frame.f_code
        if not self._is_counting or event != "call" or code.co_name == "<module>":
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


async def chat(passed: FilesPassed, engine: str) -> None:
    """Serve the demo model by this engine, and count the second chat."""
    from serve import bootstrap
    from serve.config import Config

    ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    config = Config.model_validate({"model": "demo", "engine": engine, "port": 0})
    serving = asyncio.create_task(
        bootstrap.serve(config, on_progress=lambda *_: None, on_ready=ready.set_result)
    )
    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
    port = int((await ready).url.rsplit(":", 1)[1])
    await asyncio.to_thread(_chat, port)
    with passed.counting():
        answer = await asyncio.to_thread(_chat, port)
        while "serve/observe/metrics.py" not in passed.functions:  # after the last byte
            await asyncio.sleep(0.01)
    if b"data: [DONE]" not in answer:
        raise RuntimeError(f"the chat was not answered: {answer[:200]!r}")
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


def quantise(passed: FilesPassed) -> None:
    """Quantise the demo model to int8, and count all of it but the measuring."""
    from quantize.__main__ import main

    with tempfile.TemporaryDirectory() as folder, passed.counting():
        status = main(["demo", "--scheme", "int8", "--no-measure", "--data-dir", folder])
    if status != 0:
        raise RuntimeError(f"quantising ended with {status}")


def run(what: str) -> dict[str, list[str]]:
    """The files, each with its functions."""
    if what.startswith("chat-"):
        passed = FilesPassed(frozenset({"engine-steps"}))
        asyncio.run(chat(passed, what.removeprefix("chat-")))
    else:
        passed = FilesPassed()
        quantise(passed)
    return {name: sorted(functions) for name, functions in sorted(passed.functions.items())}


if __name__ == "__main__":
    files = run(sys.argv[1])
    sys.stdout.write("\n" + json.dumps(files) + "\n")
