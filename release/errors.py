"""Errors of making a software bundle; the message says what to do."""

from __future__ import annotations


class ReleaseError(Exception):
    """The bundle cannot be made. Without its SHA256SUMS, what is there is none."""
