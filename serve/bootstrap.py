"""The composition root: the one module that knows every class.

Order of a start: settings → model folder → HTTP server (so that /startupz answers) → engine, on a
thread → ready. Order of an end: readiness off and gate closed → running requests finish, at most
``shutdown_timeout`` → server stops → engine closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import adapter
from models.errors import ModelError
from models.refs import Artifact
from models.store import resolve
from serve.api.app import create_app
from serve.api.context import ServerState
from serve.api.http_server import HttpServer, build_server
from serve.api.listening import bind, check_exposure, in_url
from serve.config import Config, harden_environment
from serve.engine import registry
from serve.engine.protocol import Engine, Progress
from serve.engine.settings import EngineSettings, FakeSettings, VllmSettings
from serve.engine.supervisor import Supervisor
from serve.errors import StartupError
from serve.governance.keys import KeyRing
from serve.observe import logs
from serve.observe.metrics import Metrics
from serve.observe.startup import Startup
from serve.pipeline.admission import Admission
from serve.pipeline.generate import Pipeline
from serve.pipeline.render import Renderer
from serve.pipeline.tokenizer import ModelTokenizer

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0
"""Seconds for the HTTP server to close its connections once nothing runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the operator is told once the server is up."""

    artifact: Artifact
    engine: Engine
    engine_reason: str
    url: str
    names: tuple[str, ...]
    needs_key: bool


def check_packages() -> None:
    """Refuse to run when `serve`, `models` and `quantize` come from different places.

    The names are generic: another package of the same name on the path would be taken silently.
    """
    parents = {
        name: Path(importlib.import_module(name).__path__[0]).resolve().parent
        for name in ("serve", "models", "quantize")
    }
    if len(set(parents.values())) != 1:
        found = ", ".join(f"{name} from {parent}" for name, parent in parents.items())
        raise StartupError(f"packages of different origin were imported: {found}. Fix PYTHONPATH.")


async def serve(
    config: Config, *, on_progress: Progress, on_ready: Callable[[Ready], None]
) -> None:
    """Run the server until a signal ends it.

    Args:
        on_progress: told of start-up phases, from the loading thread.
        on_ready: told once, when requests are answered.

    Raises:
        StartupError: the server cannot start as asked.
    """
    harden_environment()
    check_packages()
    check_exposure(config)
    artifact = _resolve(config)
    startup = Startup()
    metrics = Metrics()
    state = ServerState(
        config=config,
        keys=KeyRing.load(config.api_key_file) if config.api_key_file else None,
        startup=startup,
        listeners=(logs.AccessLog(), metrics),
        metrics=metrics,
        model_created=int(time.time()),
    )
    with contextlib.closing(bind(config.host, config.port)) as listener:
        server = build_server(create_app(state), config)
        stop = _stop_on_signals()
        serving = asyncio.create_task(server.serve(sockets=[listener]))

        def progress(phase: str, done: int, total: int) -> None:
            startup(phase, done, total)
            on_progress(phase, done, total)

        loading = asyncio.create_task(_load(config, artifact, state, metrics, progress))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({loading, stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                pipeline, reason = await loading
                port = listener.getsockname()[1]
                on_ready(
                    Ready(
                        artifact=artifact,
                        engine=pipeline.engine,
                        engine_reason=reason,
                        url=f"http://{in_url(config.host)}:{port}",
                        names=config.model_names,
                        needs_key=state.keys is not None,
                    )
                )
                await _watch(pipeline.engine, {stopping, serving})
        finally:
            stopping.cancel()
            await _shut_down(config, state, server, serving, loading)


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


async def _load(
    config: Config, artifact: Artifact, state: ServerState, metrics: Metrics, progress: Progress
) -> tuple[Pipeline, str]:
    """Bring the engine up and open the gate. Returns also why this engine was chosen."""
    try:
        engine, reason = await asyncio.to_thread(_build_engine, config, artifact, progress)
        renderer = await asyncio.to_thread(Renderer.load, artifact.path, engine.info.vocab_size)
    except StartupError as error:
        state.startup.fail(str(error))
        raise
    admission = Admission(
        max_running=engine.info.max_num_seqs, max_waiting=config.max_num_queued_reqs
    )
    metrics.set_model(engine.info, config.model_names[0])
    metrics.attach_engine(engine.load)
    metrics.attach_admission(lambda: admission.num_admitted)
    pipeline = Pipeline(engine=engine, renderer=renderer, admission=admission)
    state.pipeline = pipeline
    # What is loaded stays: the collector need not walk it again with every request.
    gc.collect()
    gc.freeze()
    state.startup.complete()
    return pipeline, reason


def _build_engine(config: Config, artifact: Artifact, progress: Progress) -> tuple[Engine, str]:
    """The engine, and why it was chosen. Blocks."""
    name, reason = registry.choose(
        config.engine, config.device, with_adapters=bool(config.adapters)
    )
    settings = EngineSettings(
        dtype=config.dtype,
        device=config.device,
        max_model_len=config.max_model_len,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        kv_cache_tokens=config.kv_cache_tokens,
        max_hold_s=config.max_token_hold_ms / 1000,
        vllm=VllmSettings(
            tensor_parallel_size=config.tensor_parallel_size,
            pipeline_parallel_size=config.pipeline_parallel_size,
            gpu_memory_utilization=config.gpu_memory_utilization,
            enable_prefix_caching=config.enable_prefix_caching,
            kv_cache_dtype=config.kv_cache_dtype,
            enforce_eager=config.enforce_eager,
            engine_args=config.engine_arg,
            stall_timeout_s=config.engine_stall_timeout,
            adapters=tuple(config.adapters.items()),
            max_loras=config.max_loras,
            max_lora_rank=config.max_lora_rank,
        ),
        fake=_fake_settings(config, artifact) if name == "fake" else FakeSettings(),
    )
    engine = registry.build(name, artifact.path, settings, progress)
    if name not in registry.SUPERVISED:
        return engine, reason

    def rebuild() -> Engine:
        return registry.build(name, artifact.path, settings, lambda *_: None)

    return Supervisor(engine, rebuild), reason


def _fake_settings(config: Config, artifact: Artifact) -> FakeSettings:
    """The fake engine speaks the model's own vocabulary, so that its answers have text."""
    return FakeSettings(
        tokens_per_s=config.fake_tokens_per_s,
        vocab_size=ModelTokenizer.load(artifact.path).vocab_size,
    )


async def _shut_down(
    config: Config,
    state: ServerState,
    server: HttpServer,
    serving: asyncio.Task[None],
    loading: asyncio.Task[tuple[Pipeline, str]],
) -> None:
    """Drain, then stop: see the module docstring."""
    state.is_draining = True
    is_loaded = loading.done() and not loading.cancelled() and loading.exception() is None
    pipeline = loading.result()[0] if is_loaded else None
    if pipeline is not None:
        pipeline.drain()
        await _within(pipeline.admission.wait_idle(), config.shutdown_timeout)
    server.should_exit = True
    await _within(serving, STOP_TIMEOUT_S)
    loading.cancel()
    if pipeline is not None:
        await pipeline.engine.close()
    gc.unfreeze()  # or libraries report at exit as leaked what was only frozen


async def _within(work: Awaitable[object], seconds: float) -> None:
    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(work, seconds)


def _resolve(config: Config) -> Artifact:
    """The model. The adapters are checked beside it: both before anything is started."""
    try:
        for path in config.adapters.values():
            adapter.read(path)
        return resolve(config.model, config.data_dir)
    except ModelError as error:
        raise StartupError(str(error)) from None


def _stop_on_signals() -> asyncio.Event:
    """An event set by SIGTERM and SIGINT; a second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        log.info("draining", extra={"signal": number.name})
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop
