"""Records of what these commands do, in the log `cli` beside the servers' (audit_acts.py)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from serve.composition.audit_acts import LOG_NAME as NAME
from serve.composition.audit_acts import acting_in_turn
from serve.config_sources import load_config
from serve.errors import StartupError

__all__ = ["NAME", "acting", "add_record_dir", "reading"]


def add_record_dir(command: argparse.ArgumentParser) -> None:
    """Add the flag that says where an auditor's reading of a copy is recorded."""
    command.add_argument(
        "--record-dir",
        type=Path,
        metavar="DIR",
        help="of a copy that cannot be written: record that contents are read in a log `cli` there",
    )


def acting(
    audit_dir: Path, act: str, details: Mapping[str, Any]
) -> AbstractContextManager[dict[str, Any]]:
    """Record an act around the block that does it, whatever the settings let pass.

    Raises:
        StartupError: on entering: that it begins cannot be recorded, and so it is not done.
    """
    given = {"audit_dir": audit_dir, "audit_when_unavailable": "refuse"}
    return acting_in_turn(load_config(given), act, details)


def reading(
    audit_dir: Path, record_dir: Path | None, act: str, details: Mapping[str, Any]
) -> AbstractContextManager[dict[str, Any]]:
    """Record that contents are read around the block that does it.

    Args:
        audit_dir: the logs that are read. It is recorded there, unless that cannot be written.
        record_dir: then it is recorded in a log here, of whoever reads; made where it is not there.

    Raises:
        StartupError: it cannot be recorded, or would be where it need not.
    """
    is_writable = _is_writable(audit_dir)
    if record_dir is None:
        if not is_writable:
            raise StartupError(
                f"{audit_dir} cannot be written, so that its contents are read cannot be recorded "
                "there, and they are not read. Of a copy it is recorded in a log of your own: "
                "--record-dir DIR."
            )
        return acting(audit_dir, act, details)
    if is_writable:
        raise StartupError(
            f"{audit_dir} can be written, so it is recorded there that its contents are read: "
            "leave out --record-dir. It is for a copy that cannot be written."
        )
    return acting(record_dir, act, {"dir": str(audit_dir.absolute()), **details})


def _is_writable(audit_dir: Path) -> bool:
    """Whether the log of commands can be written there, or begun."""
    own = audit_dir / NAME
    return os.access(own if own.exists() else audit_dir, os.W_OK | os.X_OK, effective_ids=True)
