"""`python -m serve audit`: audit logs, verified, searched and kept offline. docs/audit.md."""

from serve.cli.audit.command import run_audit

__all__ = ["run_audit"]
