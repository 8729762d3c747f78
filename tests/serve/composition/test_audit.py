"""The audit from the settings: nothing at all without a folder, and no library of it either."""

from __future__ import annotations

import subprocess
import sys

from serve.composition.audit import AuditParts, open_audit
from serve.config import Config
from serve.governance.pass_through import NoAudit
from serve.observe.metrics import Metrics
from tests.house.tree import ROOT


async def test_without_a_folder_nothing_is_recorded() -> None:
    async with open_audit(Config(), Metrics()) as parts:
        assert isinstance(parts.audit, NoAudit)
        assert parts.listeners == ()
    assert isinstance(AuditParts().audit, NoAudit)


def test_a_start_without_an_audit_imports_none_of_it() -> None:
    code = (
        "import sys, serve.bootstrap, serve.cli.serve_command; print([name for name in sys.modules "
        "if name.startswith(('serve.governance.audit.log', 'serve.governance.audit.tlog', "
        "'serve.governance.audit.records', 'serve.governance.audit.content'))])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
