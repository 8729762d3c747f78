"""Names of subjects: whose contents they are, an owner of a tenant or a key without an owner.

Parts are escaped as in URLs, so that no tenant's or owner's name reads as another subject's.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

KEY_PREFIX: Final = "key:"


def owner_subject(tenant: str, owner: str) -> str:
    """The subject of an owner of a tenant."""
    return f"{tenant_prefix(tenant)}{quote(owner, safe='')}"


def tenant_prefix(tenant: str) -> str:
    """The text that subjects of a tenant's owners begin with."""
    return f"{quote(tenant, safe='')}/"


def key_subject(key_id: str) -> str:
    """The subject of an API key that has no owner."""
    return f"{KEY_PREFIX}{quote(key_id, safe='')}"
