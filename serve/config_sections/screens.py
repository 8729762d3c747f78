"""Rules that prompts and answers pass: the content filter, presets and rules for answers."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class ScreensSection(BaseModel):
    """Settings of screens."""

    content_filter_file: Path | None = Field(
        None,
        description="TOML file of words and patterns that prompts and answers must not have "
        "(docs/content-filter.md). It is read again when it changes. /v1/moderations answers from "
        "it.",
    )
    presets_file: Path | None = Field(
        None,
        description="TOML file of presets of sampling and of rules for answers, by key and tenant "
        "(docs/presets.md). It is read again when it changes. The presets technical, creative and "
        "qa are there without it.",
    )
