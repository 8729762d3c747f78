"""The audit from the settings: nothing at all without a folder."""

from __future__ import annotations

from serve.composition.audit import AuditParts, open_audit
from serve.config import Config
from serve.governance.pass_through import NoAudit
from serve.observe.metrics import Metrics


async def test_without_a_folder_nothing_is_recorded() -> None:
    async with open_audit(Config(), Metrics()) as parts:
        assert isinstance(parts.audit, NoAudit)
        assert parts.listeners == ()
    assert isinstance(AuditParts().audit, NoAudit)
