"""Records of what these commands do, in the log `cli` beside the servers' (audit_acts.py)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from serve.composition.audit_acts import LOG_NAME as NAME
from serve.composition.audit_acts import acting_in_turn
from serve.config_sources import load_config

__all__ = ["NAME", "acting"]


def acting(
    audit_dir: Path, act: str, details: Mapping[str, Any]
) -> AbstractContextManager[dict[str, Any]]:
    """Record an act around the block that does it, whatever the settings let pass.

    Raises:
        StartupError: on entering: that it begins cannot be recorded, and so it is not done.
    """
    given = {"audit_dir": audit_dir, "audit_when_unavailable": "refuse"}
    return acting_in_turn(load_config(given), act, details)
