"""The principal: the outcome of authentication, and all that later stages know of a caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["infer", "batch", "audit", "metrics", "admin"]
"""Rights of a caller. A route names the one that it needs (serve/api/policy.py)."""

ALL_SCOPES: frozenset[Scope] = frozenset(get_args(Scope))


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller.

    Attributes:
        key_id: the public part of the API key; it may stand in logs and metrics.
        name: the name that the operator gave the key.
        tenant: whose data the caller's are; tenants share nothing, cached prefixes included.
        owner: the user of the tenant; empty where nobody named one.
        scopes: what the caller may do.
        models: names of the models that the caller may ask; None is all.
        preset: the one stored with its key; empty is none.
    """

    key_id: str
    name: str
    tenant: str
    owner: str = ""
    scopes: frozenset[Scope] = ALL_SCOPES
    models: frozenset[str] | None = None
    preset: str = ""


ANONYMOUS = Principal(key_id="anonymous", name="anonymous", tenant="anonymous")
"""Everyone, on a server without keys; such a server listens on loopback only."""
