"""The audit log: where it is, what it records, and what happens where it cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

AuditLevel = Literal["none", "metadata", "hashed", "full"]


class AuditSection(BaseModel):
    """Settings of the audit log."""

    audit_dir: Path | None = Field(
        None,
        description="Folder of the audit logs ([audit](audit.md)), one folder in it for each "
        "replica and one for commands. Default: nothing is recorded.",
    )
    audit_name: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        description="Name of this replica's log, and of its folder in --audit-dir. Default: the "
        "machine's name. Two replicas never write one log.",
    )
    audit_level: AuditLevel = Field(
        "metadata",
        description="Recorded of each call: `metadata` who, when, which model and how much; "
        "`hashed` also a keyed hash of prompt and answer; `full` also prompt and answer, encrypted "
        "beside the log; `none` of calls nothing, of all else as ever.",
    )
    audit_strict: bool = Field(
        False,
        description="Release no part of a streamed answer before its record is on the disk.",
    )
    audit_when_unavailable: Literal["refuse", "pass"] = Field(
        "refuse",
        description="Where the log cannot be written: `refuse` calls (503 `audit_unavailable`), "
        "or let them `pass`, count them, and record the gap afterwards.",
    )
    audit_key_file: Path | None = Field(
        None,
        description="File of the key that signs the log's checkpoints, made by `python -m serve "
        "audit key generate`; mode 600. Each log needs one of its own. Default: NAME.key in "
        "--audit-dir, made at the first start.",
    )
    audit_content_key_file: Path | None = Field(
        None,
        description="File of the key under which subjects' keys are kept: a line of `openssl rand "
        "-hex 32`, and older keys below it; mode 600. Levels hashed and full need it.",
    )
    audit_retention_days: int = Field(
        183,
        ge=1,
        le=36_500,
        description="Days that entries and contents are kept at least: `python -m serve audit "
        "prune` removes older ones.",
    )
    audit_min_free_bytes: int = Field(
        256 << 20,
        ge=1 << 20,
        description="Free bytes of the log's file system below which no call begins: those that "
        "run can still be recorded to their end.",
    )
