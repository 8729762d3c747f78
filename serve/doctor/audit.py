"""The audit log as `doctor` sees it: its folder, its keys, and the room that it has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from serve.config import Config
from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine
from serve.doctor.memory import gb
from serve.errors import StartupError

LOW = 8
"""Times the least room, below which it is said that it becomes short."""


def audit(machine: Machine) -> Finding:
    """Can the audit log be written and signed, and are the files for it such as can be used?"""
    config = machine.config
    if config.audit_dir is None:
        return skipped("Nothing is recorded: --audit-dir names a folder for the audit log.")
    folder = _existing(config.audit_dir)
    if not os.access(folder, os.W_OK | os.X_OK):
        return failure(
            f"The audit log cannot be written to {folder}.",
            "Give the server's user that folder, with mode 700.",
        )
    try:
        _read_files(config)
    except StartupError as error:
        summary, _, advice = str(error).partition(". ")
        return failure(f"{summary.rstrip('.')}.", advice)
    witnesses = "" if config.audit_witness_file else " No witness is named: --audit-witness-file."
    free, least = shutil.disk_usage(folder).free, config.audit_min_free_bytes
    summary = f"The audit log is written to {config.audit_dir}; {gb(free)} are free there."
    summary += witnesses
    advice = "Make room, or lower --audit-min-free-bytes."
    if free < least:
        return failure(f"{summary} Below {gb(least)} no call begins.", advice)
    if free < LOW * least:
        return warning(f"{summary} Below {gb(least)} no call begins.", advice)
    if config.audit_when_unavailable == "pass":
        return warning(
            f"{summary} Calls pass where it cannot be written.",
            "--audit-when-unavailable refuse refuses them.",
        )
    return ok(summary)


def _read_files(config: Config) -> None:
    """Read the files of keys, witnesses and holds that there are. Raises StartupError."""
    # Only where it is asked for: it imports what signs and encrypts.
    from serve.governance.audit.content.content_keys import (  # noqa: PLC0415
        read_content_keys,
    )
    from serve.governance.audit.retention import holds  # noqa: PLC0415
    from serve.governance.audit.tlog.key_files import read_log_signer  # noqa: PLC0415
    from serve.governance.audit.witness import witness_file  # noqa: PLC0415

    if config.audit_key_file is not None:
        read_log_signer(config.audit_key_file)
    keeps_contents = config.audit_level in ("hashed", "full")
    if config.audit_content_key_file is not None and keeps_contents:
        read_content_keys(config.audit_content_key_file)
    if config.audit_witness_file is not None:
        witness_file.load(config.audit_witness_file)
    if config.audit_holds_file is not None:
        holds.load(config.audit_holds_file)


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())
