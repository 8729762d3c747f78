"""Fetching of a model that is not on this machine, by a process that ends before the engine
starts. The server itself never connects to anything.

    python -m models pull NAME --json      its events become the start-up phase ``download``
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import hub_cache
from models.errors import ModelError, ModelNotFoundError
from models.lockfile import LockFile
from models.refs import Artifact
from models.store import locate, resolve
from models.target import ModelTarget
from serve.engine.protocol import Progress
from serve.errors import StartupError
from serve.provenance import child

log = logging.getLogger(__name__)


async def obtain(
    target: ModelTarget,
    data_dir: Path,
    *,
    environment: Mapping[str, str],
    is_offline: bool,
    progress: Progress,
) -> Artifact:
    """The model's folder, allowed and whole; fetched first where it is not here.

    Args:
        target: the model that ``--model`` names.
        environment: of the fetching process: the operator's own, with the Hub's variables.
        is_offline: whether fetching is forbidden.
        progress: called with the phase ``download`` in bytes.

    Raises:
        StartupError: it is not here and cannot be fetched, or it is refused.
    """
    try:
        if await asyncio.to_thread(is_here, target, data_dir):
            return await asyncio.to_thread(resolve, target.base, data_dir)
        if is_offline:
            raise StartupError(_absent(target, data_dir) + "\n--offline forbids fetching it.")
        log.info("fetching", extra={"model": target.text})
        if (advice := hub_cache.advice_on(target.repo or target.text)) is not None:
            log.info("fetching", extra={"notice": advice})
        await _pull(target.text, data_dir, environment, progress)
        return await asyncio.to_thread(resolve, target.base, data_dir)
    except ModelError as error:
        raise StartupError(str(error)) from None


def is_here(target: ModelTarget, data_dir: Path) -> bool:
    """Whether the model is on this machine. What is in it is not looked at.

    Raises:
        ModelNotFoundError: it is not, and it is nothing that could be fetched either.
    """
    try:
        stored, _ = locate(target.base, data_dir)
    except ModelNotFoundError:
        if not target.is_fetchable:
            raise
        return False
    if target.base is target or not target.revision:
        return True
    pin = LockFile(data_dir).get(stored)
    return pin is not None and target.revision in {pin.revision, pin.commit}


def _absent(target: ModelTarget, data_dir: Path) -> str:
    try:
        locate(target, data_dir)
    except ModelNotFoundError as error:
        return str(error)
    return f"the model {target.text!r} is not on this machine."


async def _pull(
    model: str, data_dir: Path, environment: Mapping[str, str], progress: Progress
) -> None:
    """Run the fetching process to its end."""

    def on_event(event: Mapping[str, Any]) -> None:
        match event:
            case {"event": "progress", "phase": "fetch", "done_bytes": done, "total_bytes": total}:
                progress("download", done, total)
            case {"event": "notice", "message": message}:
                log.info("fetching", extra={"notice": message})
            case {"event": "done", "repo": repo, "commit": commit, "digest": digest}:
                log.info("fetched", extra={"repo": repo, "commit": commit, "digest": digest})

    words = ("-m", "models", "pull", model, "--data-dir", str(data_dir), "--json")
    await child.run(words, environment=environment, on_event=on_event)
