"""The folders that the server keeps its files in, and what it writes to its log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from serve.environment import xdg


class StorageSection(BaseModel):
    """Settings of where files and log lines go."""

    data_dir: Path = Field(
        default_factory=lambda: xdg("XDG_DATA_HOME", ".local/share"),
        description="Where weights live.",
    )
    state_dir: Path = Field(
        default_factory=lambda: xdg("XDG_STATE_HOME", ".local/state"),
        description="Where state lives.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        description="Form of log lines: `text` is for people, `json` an object a line; `auto` "
        "takes text on a terminal, else JSON.",
    )
    fake_tokens_per_s: float | None = Field(
        None,
        gt=0,
        description="Pace of each stream of the fake engine. Default: as fast as it can.",
    )
