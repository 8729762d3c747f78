"""The audit log from the settings; and nothing, with none of its libraries, where none is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from serve.config import Config
from serve.governance.audit.trail import Audit
from serve.governance.pass_through import NoAudit
from serve.observe.metrics import Metrics
from serve.observe.record import RequestListener
from serve.service.directory import Directory

if TYPE_CHECKING:
    from serve.assembly import Brought
    from serve.composition.audit_log import ServerLog


class AuditParts:
    """The audit of a server, as its other parts see it.

    Args:
        log: None where nothing is recorded.

    Attributes:
        audit: for the service; None where nothing is recorded.
        listeners: of finished requests.
    """

    def __init__(self, log: ServerLog | None = None) -> None:
        self._log = log
        self.audit: Audit = NoAudit() if log is None else log.audit
        self.listeners: tuple[RequestListener, ...] = () if log is None else (log.refusals,)

    def follow(self, directory: Directory) -> None:
        """Take the digests of models from here."""
        if self._log is not None:
            self._log.audit.digest_of = lambda name: directory.find(name).weights.digest

    async def model_loaded(self, brought: Brought) -> None:
        """Record which model is about to be served.

        Raises:
            StartupError: it cannot be recorded, and would have to be.
        """
        if self._log is not None:
            await self._log.model_loaded(brought)


@asynccontextmanager
async def open_audit(config: Config, metrics: Metrics) -> AsyncIterator[AuditParts]:
    """Open the log, and look after it until the block ends.

    Raises:
        StartupError: it cannot be used.
    """
    if config.audit_dir is None:
        yield AuditParts()
        return
    # Only where it is asked for: it imports what signs and encrypts.
    from serve.composition.audit_log import open_server_log  # noqa: PLC0415

    async with open_server_log(config, config.audit_dir, metrics) as log:
        yield AuditParts(log)
