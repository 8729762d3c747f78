"""Alerts: who is told when a budget is nearly used up."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class AlertsSection(BaseModel):
    """The setting of alerts; all else is in its file."""

    alerts_file: Path | None = Field(
        None,
        description="TOML file of thresholds of budgets, and of the webhook and the mail that tell "
        "of them ([alerts](alerts.md)). Default: nobody is told.",
    )
