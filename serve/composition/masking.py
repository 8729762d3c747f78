"""Masking, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from serve.governance.followed_file import FollowedFile
from serve.governance.masking.log_lines import masked_line
from serve.governance.masking.masking_file import read_rules
from serve.governance.masking.rules import Rules
from serve.governance.masking.screen import MaskingScreen
from serve.observe import logs
from serve.observe.metrics import Metrics


def open_masking(path: Path, metrics: Metrics, reloads: list[Callable[[], None]]) -> MaskingScreen:
    """The screen that masks by a masking file. Log lines are masked from now on, too.

    Args:
        reloads: gets what reads the file again, changed or not.

    Raises:
        StartupError: the file cannot be used.
    """

    def read(path: Path) -> Rules:
        rules = read_rules(path)
        for own in rules.sets:
            for rule in own.rules:
                metrics.masking_known(rule.name, rule.action)
        return rules

    file = FollowedFile(path, read, "masking")
    metrics.attach_rules_file("masking_file_usable", lambda: file.is_in_force)
    reloads.append(lambda: file.follow(always=True))
    logs.set_masking(masked_line)
    return MaskingScreen(lambda: file.content, metrics.masking_hit, metrics.masking_failed)
