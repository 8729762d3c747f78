"""Feedback on answers."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class FeedbackSection(BaseModel):
    """Settings of feedback."""

    feedback_key_file: Path | None = Field(
        None,
        description="File of a secret of 32 bytes, such as `openssl rand -hex 32` gives, mode 600, "
        "under which texts of feedback are encrypted in the database. Without it feedback is "
        "scores and labels, and a text is refused. Replicas that share the database share it.",
    )
