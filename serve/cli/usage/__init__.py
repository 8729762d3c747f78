"""`python -m serve usage`: reports of the ledger on a terminal. docs/usage.md."""

from serve.cli.usage.command import run_usage

__all__ = ["run_usage"]
