"""One server process with several doors: one model and engine, and an HTTP server for each way.

    python -m benchmarks.audit.doors FOLDER WAY... --tell FILE

Two starts of one server differ by up to a third in speed, wherever its pages came to lie, and that
is ten times what is looked for; through the doors of one process the same code, weights and engine
answer. A door that nobody asks does nothing. Each is what ``serve.bootstrap`` builds: the parts of
a server from its settings, its application and its HTTP server. Once all are open, the file of
``--tell`` has an object of their URLs by way; SIGTERM ends the process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import secrets
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.audit.ways import WAYS, needs_content_key
from serve.api.app import create_app
from serve.api.http.listening import listening, url_of
from serve.api.http.server import build_server
from serve.api.openai.errors import problem
from serve.assembly import assemble
from serve.composition.parts import Parts, open_parts
from serve.composition.stores import open_stores
from serve.config import Config
from serve.config_sources import load_config
from serve.environment import harden_environment, operator_environment
from serve.observe import logs
from serve.observe.metrics import Metrics
from serve.pipeline.generate import Pipeline
from serve.service.directory import Weights

END_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with keys.json; logs and keys are made there")
    parser.add_argument("ways", nargs="+", choices=tuple(WAYS))
    parser.add_argument("--tell", type=Path, required=True, help="file to write the URLs to")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--engine", default="transformers")
    parser.add_argument("--pace", type=float, default=None)
    parser.add_argument("--streams", type=int, default=64)
    options = parser.parse_args()
    logs.configure("info", form="json")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    """Open a door for each way, tell their URLs, and answer until SIGTERM."""
    environment = operator_environment()
    harden_environment()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        metrics = {way: Metrics() for way in options.ways}
        doors = {
            way: await _open(_config(options, way), metrics[way], stack) for way in options.ways
        }
        pipeline = await _shared_model(list(doors.values()), metrics[options.ways[0]], environment)
        urls = {way: await _listen(parts, stack) for way, parts in doors.items()}
        part = options.tell.with_suffix(".part")
        part.write_text(json.dumps(urls))
        part.rename(options.tell)
        await stop.wait()
        pipeline.drain()
        await pipeline.engine.close()
    gc.unfreeze()  # or libraries report at exit as leaked what was only frozen


def _config(options: argparse.Namespace, way: str) -> Config:
    """The settings of a door."""
    settings: dict[str, Any] = {
        "model": options.model,
        "engine": options.engine,
        "served_model_name": ("measured",),
        "port": 0,
        "max_num_seqs": options.streams,
        "api_key_file": options.folder / "keys.json",
        "state_dir": options.folder / way,
        **WAYS[way],
    }
    if options.pace is not None:
        settings["fake_tokens_per_s"] = options.pace
    if WAYS[way]:
        settings["audit_dir"] = options.folder / f"audit-{way}"
    if needs_content_key(way):
        key = options.folder / f"{way}.key"
        key.write_text(secrets.token_hex(32))
        key.chmod(0o600)
        settings["audit_content_key_file"] = key
    return load_config(settings)


async def _open(config: Config, metrics: Metrics, stack: AsyncExitStack) -> Parts:
    """Open the parts of a server that has no model yet."""
    stores = await stack.enter_async_context(open_stores(config, metrics))
    return await open_parts(config, stores, metrics, stack)


async def _shared_model(
    doors: list[Parts], metrics: Metrics, environment: dict[str, str]
) -> Pipeline:
    """Load the model for the first door, and let the others have it too."""
    first, *others = doors
    loaded = await assemble(
        first.state.config,
        environment,
        directory=first.service.directory,
        startup=first.state.startup,
        metrics=metrics,
        progress=lambda *_: None,
        on_brought=first.audit.model_loaded,
    )
    for door in others:
        weights = Weights(digest=loaded.proof.digest, scheme=loaded.artifact.scheme)
        door.service.directory.publish(loaded.pipeline, weights)
        door.state.startup.complete()
    return loaded.pipeline


async def _listen(parts: Parts, stack: AsyncExitStack) -> str:
    """Answer at a free port until the stack is closed; returns the URL."""
    config = parts.state.config
    sockets = stack.enter_context(listening(config.host, config.port))
    server = build_server(create_app(parts.state), config, problem=problem)
    serving = asyncio.create_task(server.serve(sockets=sockets))

    async def end() -> None:
        server.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(serving, END_S)

    stack.push_async_callback(end)
    return url_of(config.host, sockets)


if __name__ == "__main__":
    main()
