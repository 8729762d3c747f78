"""Logs in folders for tests, written by the writer that servers have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.writer import AuditLog
from serve.governance.audit.tlog.keys import NoteSigner
from tests.serve.governance.audit.witness.trees import LOG_KEY, ORIGIN


async def write(
    folder: Path, entries: Sequence[bytes], *, signer: NoteSigner = LOG_KEY
) -> LogFolder:
    """Append entries to a log, made where it is not there, and publish them."""
    log = AuditLog.open(folder, origin=ORIGIN, signer=signer)
    try:
        if entries:
            await log.append(list(entries))
    finally:
        await log.close()
    return reading(folder, signer=signer)


def reading(folder: Path, *, signer: NoteSigner = LOG_KEY) -> LogFolder:
    return LogFolder(folder, [signer.verifier], origin=ORIGIN)
