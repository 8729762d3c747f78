"""Logs to test with: how they are opened, filled and read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from serve.governance.audit.log import verifying
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.verifying import Verification
from serve.governance.audit.log.writer import AuditLog
from serve.governance.audit.tlog.keys import NoteSigner

SIGNER = NoteSigner("example.com/audit", bytes(range(32)))
KEYS = [SIGNER.verifier]


def open_log(folder: Path, **settings: Any) -> AuditLog:
    """A log that publishes when it is closed, unless settings say otherwise."""
    chosen = {"publish_every_s": 3600.0, "publish_at": 1 << 30} | settings
    return AuditLog.open(folder, origin=SIGNER.name, signer=SIGNER, **chosen)


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[AuditLog]:
    log = open_log(folder, **settings)
    try:
        yield log
    finally:
        await log.close()


async def fill(folder: Path, entries: Sequence[bytes], *, at_once: int = 100) -> None:
    """Append entries and publish them all."""
    async with opened(folder) as log:
        for at in range(0, len(entries), at_once):
            assert await log.append(entries[at : at + at_once]) == log.size - len(
                entries[at : at + at_once]
            )


def entry(number: int) -> bytes:
    return f"entry {number}".encode()


def some(num: int, start: int = 0) -> list[bytes]:
    return [entry(number) for number in range(start, start + num)]


def read(folder: Path) -> list[bytes]:
    """All entries under the checkpoint."""
    return [found for _, found in LogFolder(folder, KEYS).entries()]


def verified(folder: Path) -> Verification:
    return verifying.verify(folder, KEYS, origin=SIGNER.name)
