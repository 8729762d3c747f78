"""Who asks: the outcome of authentication, and all that later stages know of a caller."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller.

    Attributes:
        key_id: the public part of the API key; it may stand in logs and metrics.
        name: the name that the operator gave the key.
    """

    key_id: str
    name: str


ANONYMOUS = Principal(key_id="anonymous", name="anonymous")
"""Everyone, on a server without keys; such a server listens on loopback only."""
