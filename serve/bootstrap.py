"""The composition root: the one module that knows every class.

Order of a start: settings → HTTP server (so that /startupz answers) → what stands behind it
(``assembly.py``) → ready. Order of an end: readiness off → work is still taken, for
``shutdown_delay`` → gate closed → what runs is finished and sent, at most ``shutdown_timeout`` →
server stops → engine closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import adapter
from models.errors import ModelError
from models.refs import Artifact
from models.store import resolve
from serve import timeline
from serve.api.app import create_app
from serve.api.http.listening import check_exposure, listening, url_of
from serve.api.http.server import GRACE_S, HttpServer, build_server
from serve.api.openai.errors import problem
from serve.assembly import Loaded, assemble
from serve.composition.parts import Parts, open_parts
from serve.composition.signals import heed_signals
from serve.composition.stores import open_stores
from serve.config import Config
from serve.engine.protocol import Engine, Progress
from serve.engine.supervisor import Supervisor
from serve.environment import harden_environment, operator_environment
from serve.errors import StartupError
from serve.observe import logs
from serve.observe.metrics import Metrics
from serve.pipeline.model_dialects.dialect import ModelDialect
from serve.provenance import fetching
from serve.provenance.proof import Proof
from serve.provenance.quality import Standing
from serve.service.requests import Service

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 3.0
"""Seconds for the HTTP server to end what is left, beyond its own patience."""
LOAD_END_S = 0.5
"""Seconds for a process that fetches or quantises to take note of its end."""


class LoadInterruptedError(Exception):
    """A signal ended the start. Its threads may still load, and nothing can end a thread.

    Args:
        number: of the signal.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"the start was ended by {number.name}")
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Facts that the operator is told once the server is up."""

    artifact: Artifact
    proof: Proof
    standing: Standing
    engine: Engine
    engine_reason: str
    url: str
    names: tuple[str, ...]
    has_template: bool
    dialect: ModelDialect
    arm: str | None
    needs_key: bool
    has_page: bool
    knows_certificates: bool = False
    needs_certificate: bool = False
    prefix_cache_dir: Path | None = None
    has_prefix_key: bool = False


def check_packages() -> None:
    """Refuse to run when `serve`, `models` and `quantize` come from different places.

    The names are generic: another package of the same name on the path would be taken silently.
    """
    parents = {
        name: Path(importlib.import_module(name).__path__[0]).resolve().parent
        for name in ("serve", "models", "quantize")
    }
    if len(set(parents.values())) != 1:
        origins = ", ".join(f"{name} from {parent}" for name, parent in parents.items())
        raise StartupError(
            f"packages of different origin were imported: {origins}. Fix PYTHONPATH."
        )


async def serve(
    config: Config, *, on_progress: Progress, on_ready: Callable[[Ready], None]
) -> None:
    """Run the server until a signal ends it.

    Args:
        on_progress: told of start-up phases, from the loading thread.
        on_ready: told once, when requests are answered.

    Raises:
        StartupError: the server cannot start as asked.
        LoadInterruptedError: a signal ended it before it was up.
    """
    environment = operator_environment()
    harden_environment(between_nodes=config.distributed_executor_backend == "ray")
    check_packages()
    check_exposure(config)
    _check_model(config)
    metrics = Metrics()
    logs.set_arm(config.arm)
    metrics.set_arm(config.arm)
    async with open_stores(config, metrics) as stores, AsyncExitStack() as stack:
        parts = await open_parts(config, stores, metrics, stack)
        await _serve(parts, environment, metrics, on_progress=on_progress, on_ready=on_ready)


async def _serve(
    parts: Parts,
    environment: dict[str, str],
    metrics: Metrics,
    *,
    on_progress: Progress,
    on_ready: Callable[[Ready], None],
) -> None:
    """Run the server whose parts are open; see ``serve``."""
    config, service, startup = parts.state.config, parts.service, parts.state.startup
    with listening(config.host, config.port) as listeners:
        app = create_app(parts.state)
        server = build_server(app, config, problem=problem, tls=parts.encryption.context)
        stop = heed_signals(parts.reload)
        serving = asyncio.create_task(server.serve(sockets=listeners))
        loading = asyncio.create_task(
            assemble(
                config,
                environment,
                directory=service.directory,
                startup=startup,
                metrics=metrics,
                progress=_to_both(startup, on_progress),
                on_brought=parts.audit.model_loaded,
            )
        )
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({loading, stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                loaded = await loading
                url = url_of(config.host, listeners, parts.encryption.names)
                on_ready(_ready(loaded, config, url=url))
                await _watch(loaded.pipeline.engine, {stopping, serving})
        finally:
            stopping.cancel()
            await _shut_down(config, service, server, serving, loading, was_asked=stop.is_set())
        if stop.number is not None and not _is_loaded(loading):
            raise LoadInterruptedError(stop.number)


def _to_both(first: Progress, second: Progress) -> Progress:
    def progress(phase: str, done: int, total: int) -> None:
        first(phase, done, total)
        second(phase, done, total)

    return progress


def _ready(loaded: Loaded, config: Config, *, url: str) -> Ready:
    return Ready(
        artifact=loaded.artifact,
        proof=loaded.proof,
        standing=loaded.standing,
        engine=loaded.pipeline.engine,
        engine_reason=loaded.reason,
        url=url,
        names=config.model_names,
        has_template=loaded.pipeline.renderer.template is not None,
        dialect=loaded.pipeline.dialect.dialect,
        arm=config.arm,
        needs_key=config.needs_key,
        knows_certificates=config.client_cert_map is not None,
        needs_certificate=config.client_certificate_mode == ssl.CERT_REQUIRED,
        has_page=config.playground,
        prefix_cache_dir=config.prefix_cache_dir,
        has_prefix_key=config.prefix_cache_key_file is not None,
    )


async def _watch(engine: Engine, ends: set[asyncio.Task[Any]]) -> None:
    """Bring the engine back when it dies, until one of ``ends`` is done.

    Raises:
        StartupError: the engine stays down.
    """
    if not isinstance(engine, Supervisor):
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return
    watching = asyncio.create_task(engine.watch())
    try:
        await asyncio.wait({*ends, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
    finally:
        watching.cancel()


async def _shut_down(
    config: Config,
    service: Service,
    server: HttpServer,
    serving: asyncio.Task[None],
    loading: asyncio.Task[Loaded],
    *,
    was_asked: bool,
) -> None:
    """Drain, then stop: see the module docstring. What ends by itself waits for no balancer."""
    service.is_leaving = True
    pipeline = loading.result().pipeline if _is_loaded(loading) else None
    if pipeline is not None and was_asked:
        await _within(asyncio.wait({serving}), config.shutdown_delay)
    service.is_draining = True
    grace_s = float(GRACE_S)
    if pipeline is not None:
        pipeline.drain()
        deadline = timeline.now() + config.shutdown_timeout
        await _within(pipeline.admission.wait_idle(), config.shutdown_timeout)
        grace_s = max(grace_s, deadline - timeline.now())
    server.stop(grace_s)
    await _within(serving, grace_s + STOP_TIMEOUT_S)
    if not loading.done():
        loading.cancel()
        await _within(asyncio.wait({loading}), LOAD_END_S)  # a child process ends with it
    if pipeline is not None:
        await pipeline.engine.close()
    gc.unfreeze()  # or libraries report at exit as leaked what was only frozen


def _is_loaded(loading: asyncio.Task[Loaded]) -> bool:
    return loading.done() and not loading.cancelled() and loading.exception() is None


async def _within(work: Awaitable[object], seconds: float) -> None:
    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(work, seconds)


def _check_model(config: Config) -> None:
    """Check what can be known before anything is started. Raises StartupError."""
    try:
        for path in config.adapters.values():
            adapter.read(path)
        if fetching.is_here(config.target, config.data_dir):
            resolve(config.target.base, config.data_dir)
    except ModelError as error:
        raise StartupError(str(error)) from None
