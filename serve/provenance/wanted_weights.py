"""The weights that the settings ask for, in a form that an engine here runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from models.refs import Artifact, Scheme
from quantize.plan.choices import BY_QUALITY, Choice
from serve.config import Config
from serve.engine import registry
from serve.engine.protocol import Progress
from serve.environment import hub_is_off
from serve.errors import StartupError
from serve.provenance import fetching, quantising


async def obtain(config: Config, environment: Mapping[str, str], progress: Progress) -> Artifact:
    """The folder to serve: fetched, and quantised, where it has to be.

    Raises:
        StartupError: it cannot be had, or no engine here would run it.
    """
    is_offline = config.offline or hub_is_off(environment)
    choice = config.quant_choice
    if choice is None and config.quant_bytes is None:
        return await fetching.obtain(
            config.target,
            config.data_dir,
            environment=environment,
            is_offline=is_offline,
            progress=progress,
        )
    # Nothing is fetched or made that no engine here would run.
    if choice is not None:
        await asyncio.to_thread(choose_engine, config, choice.scheme)
    request = quantising.QuantRequest(
        target=config.target,
        choice=choice,
        num_bytes=config.quant_bytes or 0,
        among=() if choice else await asyncio.to_thread(_runnable, config),
        data_dir=config.data_dir,
        num_devices=config.tensor_parallel_size,
        must_be_signed=config.require_signature,
        is_measured=config.measure,
    )
    return await quantising.obtain(
        request, environment=environment, is_offline=is_offline, progress=progress
    )


def choose_engine(config: Config, scheme: Scheme) -> tuple[str, str]:
    """The engine for weights of this scheme, and why. Blocks.

    Raises:
        StartupError: none here runs it.
    """
    return registry.choose(
        config.engine, config.device, with_adapters=bool(config.adapters), scheme=scheme
    )


def _runnable(config: Config) -> tuple[Choice, ...]:
    """Schemes that an engine here runs, the best first: a budget chooses from them. Blocks."""
    runnable = []
    for choice in BY_QUALITY:
        with contextlib.suppress(StartupError):
            choose_engine(config, choice.scheme)
            runnable.append(choice)
    return tuple(runnable)
