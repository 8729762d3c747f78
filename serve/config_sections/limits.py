"""Limits and budgets, and the ledger of what was used."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class LimitsSection(BaseModel):
    """Settings of limits and of the ledger."""

    limits_file: Path | None = Field(
        None,
        description="TOML file of limits, budgets, prices and tenants (docs/limits.md). It is read "
        "again when it changes. With it, usage is written to the ledger.",
    )
    usage_ledger: bool = Field(
        False,
        description="Write each request's usage to the ledger in the database, also without limits "
        "and without a database that replicas share; with either of these, and with keys in the "
        "database, it is written anyway. Limits of keys in a file need it, or a limits file.",
    )
