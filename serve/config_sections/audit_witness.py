"""Witnesses of the audit log, and legal holds on it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class AuditWitnessSection(BaseModel):
    """Settings that name files of second parties: witnesses, and whoever orders holds."""

    audit_witness_file: Path | None = Field(
        None,
        description="TOML file of the witnesses that cosign this server's audit log "
        "([audit](audit.md)). Default: nobody but the server's own key vouches for it.",
    )
    audit_holds_file: Path | None = Field(
        None,
        description="TOML file of legal holds: what `python -m serve audit prune` and `erase` "
        "leave as it is, whatever its age ([audit](audit.md)). A start looks at it, too.",
    )
