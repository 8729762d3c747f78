"""The version of what runs, and the commit of its sources."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from serve import commit


@cache
def server_version() -> str:
    """Version of the installed distribution; ``0+source`` in a checkout that is not installed."""
    try:
        return metadata.version("intramural")
    except metadata.PackageNotFoundError:
        return "0+source"


@cache
def server_commit() -> str | None:
    """Commit of the sources, in hexadecimal digits; None where it is not known."""
    return commit.of_package()


def version_line() -> str:
    """The line that ``--version`` prints."""
    return f"intramural {server_version()} (commit {server_commit() or 'unknown'})"
