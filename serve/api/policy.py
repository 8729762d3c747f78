"""Policies: what a request must pass before its route sees it, declared beside the route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serve.governance.principal import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Conditions that a route sets for a request.

    Attributes:
        is_public: answers without a key. Such a route gives away the server's condition at most.
        scope: what the caller's key must allow; None is any key.
        max_body_bytes: None is the server's own bound, ``--max-body-bytes``.
        body: the kind that it takes: JSON, or a form (``application/x-www-form-urlencoded``).
    """

    is_public: bool = False
    scope: Scope | None = None
    max_body_bytes: int | None = None
    body: Literal["json", "form"] = "json"


PUBLIC = Policy(is_public=True)
ANY_KEY = Policy()
INFER = Policy(scope="infer")
METRICS = Policy(scope="metrics")
ADMIN = Policy(scope="admin")
