"""The version of what runs."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def server_version() -> str:
    """Version of the installed distribution; ``0+source`` in a checkout that is not installed."""
    try:
        return metadata.version("intramural")
    except metadata.PackageNotFoundError:
        return "0+source"
