"""Servers with an audit log that are killed under load, again and again, on one log.

    python -m tests.e2e.audit_kills FOLDER KILLS SEED

Each server is a fork of this process, which has imported everything: it listens soon, on a real
socket, with the real application, service and log, and the fake engine. What clients were told is
kept here; at the end the log is opened once more, and has to have all of it. The last line of
stdout is a JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serve.api.http.server import build_server
from serve.api.openai.errors import problem
from serve.composition.audit_log import open_server_log
from serve.config import Config
from serve.governance.audit.log.verifying import verify
from serve.governance.audit.records.canonical import decoded
from serve.governance.audit.records.durable_log import open_durable
from serve.governance.audit.tlog.key_files import read_verifiers
from serve.observe.metrics import Metrics
from tests.serve.api.house import CHAT, chat, house, pipeline_of
from tests.serve.governance.audit.content.secrets_of import key_file

CLIENTS = 12
LONGEST_S = 0.25
AT_START, START_S = 0.2, 0.5
"""The share of kills in a start, and how long that may take."""
PATIENCE_S = 60.0
WAYS: Sequence[dict[str, Any]] = (
    {},
    {"audit_strict": True},
    {"audit_level": "full"},
    {"audit_level": "full", "audit_strict": True},
)
_ID = re.compile(rb'"id":"(?:chat)?cmpl-([0-9a-f]{32})"')


def config_of(folder: Path, way: dict[str, Any]) -> Config:
    keys = {"audit_content_key_file": folder / "content.key"} if "audit_level" in way else {}
    return Config(port=0, audit_dir=folder / "audit", audit_name="killed", **way, **keys)


async def serve(listener: socket.socket, folder: Path, way: dict[str, Any]) -> None:
    """Serve until this process is killed."""
    config = config_of(folder, way)
    async with open_server_log(config, folder / "audit", Metrics()) as log:
        home = house(
            pipeline_of(max_num_seqs=64, max_waiting=64),
            audit=log.audit,
            listeners=(log.refusals,),
        )
        server = build_server(home.app, home.state.config, problem=problem)
        await server.serve(sockets=[listener])


async def ask(
    port: int, *, is_stream: bool, path: str = CHAT, fields: dict[str, Any] | None = None
) -> str | None:
    """One call. Its id, if the client knows that it has all of the answer."""
    body = json.dumps((fields or chat()) | {"stream": is_stream}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    raw = b""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head.encode() + body)
            while piece := await reader.read(65_536):
                raw += piece
        finally:
            writer.close()
    found = _ID.search(raw)
    is_whole = raw.endswith(b"0\r\n\r\n") if is_stream else raw.endswith(b"}}}")
    is_whole = is_whole and (b"[DONE]" in raw) is is_stream and b'"error":' not in raw
    return f"req-{found[1].decode()}" if found and is_whole and raw[9:12] == b"200" else None


async def load(port: int, process: int, source: random.Random, acknowledged: set[str]) -> None:
    """Ask until the server is killed: at any moment of its start, or while it answers."""

    async def client(number: int) -> None:
        while not is_over.is_set():
            request_id = await ask(port, is_stream=number % 2 == 0)
            if request_id is not None:
                acknowledged.add(request_id)
                answers.set()
            else:
                await asyncio.sleep(0.005)

    is_over, answers = asyncio.Event(), asyncio.Event()
    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    if source.random() < AT_START:
        await asyncio.sleep(source.uniform(0, START_S))
    else:
        await asyncio.wait_for(answers.wait(), PATIENCE_S)
        await asyncio.sleep(source.uniform(0, LONGEST_S))
    os.kill(process, signal.SIGKILL)
    is_over.set()
    await asyncio.wait(clients)


def one_life(folder: Path, source: random.Random, acknowledged: set[str]) -> None:
    """Fork a server, ask it, and kill it."""
    way = source.choice(WAYS)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        process = os.fork()
        if process == 0:
            try:
                asyncio.run(serve(listener, folder, way))
            finally:
                os._exit(3)  # it was not to end by itself
    asyncio.run(load(port, process, source, acknowledged))
    _, status = os.waitpid(process, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit(f"a server ended by itself: {status}")


async def settled(folder: Path) -> list[dict[str, Any]]:
    """Open the log once more, as a start does, and give all its records."""
    async with open_server_log(config_of(folder, {}), folder / "audit", Metrics()):
        pass
    log = await open_durable(folder / "audit" / "killed", folder / "audit" / "killed.key")
    records = [decoded(entry) for entry in log.read(0, log.size)]
    await log.close()
    return records


def judged(folder: Path, acknowledged: set[str]) -> dict[str, Any]:
    """What is wrong with the log, in numbers: all of them have to be 0."""
    records = asyncio.run(settled(folder))
    begun = [each["id"] for each in records if each["type"] == "begin"]
    ends = [each for each in records if each["type"] == "end"]
    ended = [each["id"] for each in ends]
    done = {each["id"] for each in ends if each["outcome"] == "done"}
    verifiers = read_verifiers(folder / "audit" / "killed.key.pub")
    found = verify(folder / "audit" / "killed", verifiers)
    return {
        "lost": len(acknowledged - done) + len(acknowledged - set(begun)),
        "double_begins": len(begun) - len(set(begun)),
        "double_ends": len(ended) - len(set(ended)),
        "without_end": len(set(begun) - set(ended)),
        "without_begin": len(set(ended) - set(begun)),
        "breaks": int(found.bad is not None),
        "entries": len(records),
        "interrupted": sum(each["outcome"] == "interrupted" for each in ends),
    }


def main(folder: Path, num_kills: int, seed: int) -> None:
    key_file(folder)
    source = random.Random(seed)
    acknowledged: set[str] = set()
    for _ in range(num_kills):
        one_life(folder, source, acknowledged)
    found = judged(folder, acknowledged)
    print(json.dumps({"kills": num_kills, "acknowledged": len(acknowledged), **found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
