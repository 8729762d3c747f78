"""Masking of personal data and secrets."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class MaskingSection(BaseModel):
    """Settings of masking."""

    masking_file: Path | None = Field(
        None,
        description="TOML file of rules by which personal data and secrets in prompts and answers "
        "are masked, replaced by pseudonyms, refused or counted (docs/masking.md). It is read "
        "again when it changes.",
    )
