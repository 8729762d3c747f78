"""A refusal: one file of a model's folder, and the rule that it breaks."""

from __future__ import annotations

from dataclasses import dataclass

from models.rules import names


@dataclass(frozen=True, slots=True)
class Refusal:
    """One file, or one folder, and the rule that it breaks. ``file`` is relative to the model."""

    file: str
    rule: str
    reason: str

    def __str__(self) -> str:
        # Names come from whoever made the folder, and go to a terminal.
        return names.printable(f"{self.file} ({self.rule}): {self.reason}")
