"""Witnesses of the server's audit log, from the settings: who cosigns it, and how often."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from serve.config import Config
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.key_files import read_signer
from serve.governance.audit.witness.cosigned_notes import CosignedNotes
from serve.governance.audit.witness.submitting import Submitter
from serve.governance.audit.witness.witness_file import Witnesses, load
from serve.observe.metrics import Metrics

log = logging.getLogger(__name__)

LAST_S: Final = 5.0
"""Seconds that the last checkpoint's cosignatures are waited for when the server ends."""


@asynccontextmanager
async def open_witnesses(
    config: Config, folder: Path, key_file: Path, metrics: Metrics
) -> AsyncIterator[Callable[[], None]]:
    """Have the log cosigned; yields what begins with it, to be called once the log is open.

    When the block ends the log is closed, and its last checkpoint is submitted.

    Args:
        folder: of the log.
        key_file: that signs it.

    Raises:
        StartupError: the file of witnesses cannot be used.
    """
    if config.audit_witness_file is None:
        yield lambda: None
        return
    witnesses = load(config.audit_witness_file)
    metrics.attach_witnesses()
    submitters: list[Submitter] = []
    tasks: list[asyncio.Task[None]] = []

    def begin() -> None:
        submitters.append(_submitter(folder, key_file, witnesses, metrics))
        tasks.append(asyncio.create_task(submitters[0].run()))
        names = ", ".join(client.name for client in witnesses.clients)
        log.info("the audit log is witnessed", extra={"witnesses": names})

    try:
        yield begin
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                for submitter in submitters:
                    await submitter.submit_all()


def _submitter(folder: Path, key_file: Path, witnesses: Witnesses, metrics: Metrics) -> Submitter:
    """What submits the log's checkpoints. Raises StartupError where the log cannot be read."""
    verifier = read_signer(key_file).verifier
    return Submitter(
        LogFolder(folder, [verifier], origin=verifier.name),
        CosignedNotes(folder),
        witnesses.clients,
        every_s=witnesses.every_s,
        listener=metrics,
    )
