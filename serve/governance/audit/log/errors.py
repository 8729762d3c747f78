"""Errors of the log. The first is for who appends; the others say that a log cannot be opened."""

from __future__ import annotations

from serve.errors import StartupError


class LogUnavailable(Exception):
    """Entries are not known to be on the disk, so they do not count: the message says why."""


class LogDamaged(StartupError):
    """A log holds less than it once acknowledged, or something else.

    Attributes:
        index: the first entry that is missing or wrong; None where that cannot be said.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class LogInUse(StartupError):
    """Another process writes this log."""
