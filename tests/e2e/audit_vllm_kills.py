"""A server with vLLM and an audit log, whose engine or which itself is killed under load.

    python -m tests.e2e.audit_vllm_kills FOLDER KILLS SEED [SECONDS]

Three of four kills are of the engine's process, which the server brings back. The last line of
stdout is a JSON object, as that of tests.e2e.audit_kills.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from serve.engine.vllm.processes import family
from tests.e2e.audit_kills import WAYS, ask, judged
from tests.e2e.server import Server, engine_processes, serving, wait_ready
from tests.serve.governance.audit.content.secrets_of import key_file
from tests.tiny_models import write_tiny_model

FLAGS = ("--engine", "vllm", "--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "8")
BODY = {"model": "tiny", "prompt": "def prefill(", "max_tokens": 40, "ignore_eos": True}
CLIENTS = 6
LONGEST_S = 1.0
SERVER_SHARE = 0.25
PATIENCE_S = 300.0
START_TRIES = 5


async def load(server: Server, process: int, wait_s: float, acknowledged: set[str]) -> None:
    """Ask; kill that process some time after the first answer."""
    port = int(server.url.rpartition(":")[2])

    async def client(number: int) -> None:
        while not is_over.is_set():
            request_id = await ask(
                port, is_stream=number % 2 == 0, path="/v1/completions", fields=dict(BODY)
            )
            if request_id is not None:
                acknowledged.add(request_id)
                answers.set()
            else:
                await asyncio.sleep(0.02)

    is_over, answers = asyncio.Event(), asyncio.Event()
    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    await asyncio.wait_for(answers.wait(), PATIENCE_S)
    await asyncio.sleep(wait_s)
    with contextlib.suppress(ProcessLookupError):  # it was gone already: the server replaced it
        os.kill(process, signal.SIGKILL)
    is_over.set()
    await asyncio.wait(clients)


def one_server(
    folder: Path, arguments: list[str], num_left: int, source: random.Random, told: set[str]
) -> int:
    """A server, until it is killed itself. How many kills that were."""
    num = 0
    with serving(folder, arguments, is_ready=False) as server:
        patiently(server)
        while num < num_left:
            is_last = source.random() < SERVER_SHARE or num == num_left - 1
            process = server.process.pid if is_last else engine_processes(server)[0].pid
            children = family([server.process.pid])
            asyncio.run(load(server, process, source.uniform(0, LONGEST_S), told))
            num += 1
            print(f"killed {'the server' if is_last else 'the engine'}", flush=True)
            if is_last:
                server.process.wait(30)
                until = time.monotonic() + 30
                while any(child.is_alive() for child in children) and time.monotonic() < until:
                    time.sleep(0.05)
                break
            patiently(server)
    return num


def patiently(server: Server) -> None:
    """Wait for a server on a machine that is busy."""
    for number in range(START_TRIES):
        try:
            wait_ready(server)
        except AssertionError:
            if server.process.poll() is not None or number == START_TRIES - 1:
                raise
        else:
            return


def main(folder: Path, num_kills: int, seed: int, most_s: float) -> None:
    until = time.monotonic() + most_s
    key = key_file(folder)
    source = random.Random(seed)
    model = write_tiny_model(folder / "tiny")
    acknowledged: set[str] = set()
    num = 0
    while num < num_kills and time.monotonic() < until:
        way = source.choice(WAYS)
        arguments = ["--model", str(model), *FLAGS, "--audit-dir", str(folder / "audit")]
        arguments += ["--audit-name", "killed"]
        if "audit_level" in way:
            arguments += ["--audit-level", "full", "--audit-content-key-file", str(key)]
        if way.get("audit_strict"):
            arguments.append("--audit-strict")
        num += one_server(folder, arguments, num_kills - num, source, acknowledged)
    found = judged(folder, acknowledged)
    print(json.dumps({"kills": num, "acknowledged": len(acknowledged), **found}))


if __name__ == "__main__":
    most_s = float(sys.argv[4]) if len(sys.argv) > 4 else float("inf")
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), most_s)
