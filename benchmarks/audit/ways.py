"""The ways of recording that are compared, and the settings of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NOTHING: Final = "nothing"
"""The way that the others are compared with."""
WAYS: Final[Mapping[str, Mapping[str, Any]]] = {
    NOTHING: {},
    "metadata": {"audit_level": "metadata"},
    "strict": {"audit_level": "metadata", "audit_strict": True},
    "hashed": {"audit_level": "hashed"},
    "full": {"audit_level": "full"},
    "full-strict": {"audit_level": "full", "audit_strict": True},
}


def needs_content_key(way: str) -> bool:
    """Whether this way of recording seals or hashes contents."""
    return way.startswith(("hashed", "full"))
