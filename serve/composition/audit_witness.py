"""Witnesses of the server's audit log, from the settings: who cosigns it, and how often."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from serve.composition.audit_acts import LOG_NAME
from serve.config import Config
from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.records.durable_log import KEY_SUFFIX, verifiers_of
from serve.governance.audit.tlog.key_files import read_signer
from serve.governance.audit.witness.cosigned_notes import CosignedNotes
from serve.governance.audit.witness.submitting import Submitter, WitnessListener
from serve.governance.audit.witness.witness_file import Witnesses, load
from serve.observe.metrics import Metrics

log = logging.getLogger(__name__)

LAST_S: Final = 5.0
"""Seconds that the last checkpoint's cosignatures are waited for when the server ends."""
PAUSE_S: Final = 1.0
"""Seconds between two looks at whether there is a log yet."""


@asynccontextmanager
async def open_witnesses(
    config: Config, folder: Path, key_file: Path, metrics: Metrics
) -> AsyncIterator[None]:
    """Have the log, and the one of commands beside it, cosigned while the block runs.

    Each is from when it is there. Behind the block, when it is closed, its last checkpoint is
    submitted.

    Args:
        folder: of the log.
        key_file: that signs it.

    Raises:
        StartupError: the file of witnesses cannot be used.
    """
    if config.audit_witness_file is None:
        yield
        return
    witnesses = load(config.audit_witness_file)
    metrics.attach_witnesses()
    log.info(
        "the audit log is witnessed",
        extra={"witnesses": ", ".join(client.name for client in witnesses.clients)},
    )
    commands = folder.with_name(LOG_NAME)
    async with (
        _witnessed(folder, key_file, witnesses, metrics),
        _witnessed(
            commands, folder.with_name(f"{LOG_NAME}{KEY_SUFFIX}"), witnesses, _Outcomes(metrics)
        ),
    ):
        yield


class _Outcomes:
    """A listener for the log of commands: what witnesses say of it, and not how long it is."""

    def __init__(self, metrics: Metrics) -> None:
        self.audit_witness_asked = metrics.audit_witness_asked

    def audit_cosigned(self, size: int) -> None:
        """Not told."""


@asynccontextmanager
async def _witnessed(
    folder: Path, key_file: Path, witnesses: Witnesses, listener: WitnessListener
) -> AsyncIterator[None]:
    """Have one log cosigned while the block runs, and once more behind it."""
    opened = asyncio.create_task(_opened(folder, key_file, witnesses, listener))
    submitting = asyncio.create_task(_submit(opened))
    try:
        yield
    finally:
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)
        if opened.done() and not opened.cancelled():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_S):
                    await opened.result().submit_all()


async def _submit(opened: asyncio.Task[Submitter]) -> None:
    submitter = await opened  # is cancelled with this
    await submitter.run()


async def _opened(
    folder: Path, key_file: Path, witnesses: Witnesses, listener: WitnessListener
) -> Submitter:
    """A submitter of the log, once that has its first checkpoint."""
    while True:
        try:
            return await asyncio.to_thread(_submitter, folder, key_file, witnesses, listener)
        except (StartupError, OSError):
            await asyncio.sleep(PAUSE_S)


def _submitter(
    folder: Path, key_file: Path, witnesses: Witnesses, listener: WitnessListener
) -> Submitter:
    """A submitter of the log's checkpoints. Raises StartupError where the log cannot be read."""
    signer = read_signer(key_file)
    return Submitter(
        LogFolder(folder, verifiers_of(key_file, signer), origin=signer.name),
        CosignedNotes(folder),
        witnesses.clients,
        every_s=witnesses.every_s,
        listener=listener,
    )
