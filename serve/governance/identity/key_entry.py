"""One API key as it is stored: whose it is, what it may do, and hashes of its secrets.

A secret's hash is ``HMAC(salt, secret)``, and under a pepper ``HMAC(pepper, HMAC(salt, secret))``:
so hashes that were made without a pepper gain one without the secret.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from serve.errors import StartupError
from serve.governance.identity.pepper import Pepper
from serve.governance.limit_names import Limits
from serve.governance.principal import ALL_SCOPES, Principal, Scope

MAX_NAME_CHARS = 64
MAX_SECRETS = 2
"""The newest, and the one before it while both are valid."""

_TENANT = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_OWNER = re.compile(r"[!-~]{0,128}")
_MODEL = re.compile(r"\S{1,256}")
_PRESET = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """One secret of a key. ``salt`` and ``hash`` are hexadecimal; times are UTC.

    Attributes:
        valid_until: end of a secret that another has replaced; None while it is the newest.
    """

    salt: str
    hash: str
    created_at: datetime
    valid_until: datetime | None = None

    def matches(self, secret: str, pepper: Pepper | None) -> bool:
        """Whether it is this one; takes the same time whatever the answer."""
        return hmac.compare_digest(hash_secret(self.salt, secret, pepper), self.hash)

    def is_valid(self, now: datetime) -> bool:
        return self.valid_until is None or now < self.valid_until


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """One entry of a key store. Times are UTC.

    Attributes:
        tenant: whose data the key's are.
        owner: the user of the tenant; may be empty.
        models: names that may be asked; None is all.
        limits: by their names (limit_names.py).
        preset: of its requests that choose none; empty is none.
        secrets: the newest first, at most MAX_SECRETS.
        pepper: id of the pepper under which they are hashed; None without one.
        rotated_at: when it last got a new secret.
    """

    key_id: str
    name: str
    tenant: str
    owner: str = ""
    scopes: frozenset[Scope]
    models: frozenset[str] | None = None
    limits: Limits = field(default_factory=dict)
    preset: str = ""
    secrets: tuple[StoredSecret, ...]
    pepper: str | None = None
    created_at: datetime
    rotated_at: datetime | None = None
    expires_at: datetime | None = None
    disabled: bool = False

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    @property
    def state(self) -> Literal["enabled", "revoked", "expired"]:
        if self.disabled:
            return "revoked"
        return "expired" if self.is_expired(datetime.now(UTC)) else "enabled"

    def principal(self) -> Principal:
        """The caller that the key stands for."""
        return Principal(
            key_id=self.key_id,
            name=self.name,
            tenant=self.tenant,
            owner=self.owner,
            scopes=self.scopes,
            models=self.models,
            preset=self.preset,
        )

    def as_json(self) -> dict[str, object]:
        """The part that an operator may see: neither salt nor hash."""
        now = datetime.now(UTC)
        ends = [s.valid_until for s in self.secrets if s.valid_until and s.is_valid(now)]
        return {
            "id": self.key_id,
            "name": self.name,
            "tenant": self.tenant,
            "owner": self.owner,
            "scopes": sorted(self.scopes),
            "models": None if self.models is None else sorted(self.models),
            "limits": dict(self.limits),
            "preset": self.preset,
            "created_at": self.created_at.isoformat(),
            "rotated_at": as_text(self.rotated_at),
            "old_secret_until": as_text(max(ends, default=None)),
            "expires_at": as_text(self.expires_at),
            "state": self.state,
        }


def hash_secret(salt: str, secret: str, pepper: Pepper | None = None) -> str:
    """The hash as it is stored: one HMAC, and a second with a pepper."""
    digest = hmac.digest(bytes.fromhex(salt), secret.encode(), "sha256")
    return (digest if pepper is None else pepper.mixed(digest)).hex()


def peppered(keys: Iterable[StoredKey], pepper: Pepper | None) -> tuple[StoredKey, ...]:
    """The keys with hashes under this pepper; those that had none gain it.

    Raises:
        StartupError: one was stored under another pepper, or under one and there is none.
    """
    own = None if pepper is None else pepper.pepper_id
    return tuple(key if key.pepper == own else _gain(key, pepper) for key in keys)


def _gain(key: StoredKey, pepper: Pepper | None) -> StoredKey:
    if pepper is None:
        raise StartupError(
            f"The API key {key.key_id} was stored under a pepper (its id is {key.pepper}), and "
            "none is given: name its file with --key-pepper-file."
        )
    if key.pepper is not None:
        raise StartupError(
            f"The API key {key.key_id} was stored under another pepper: its id is {key.pepper}, "
            f"and that of --key-pepper-file is {pepper.pepper_id}. Give the file that was used."
        )
    hashed = tuple(
        replace(secret, hash=pepper.mixed(bytes.fromhex(secret.hash)).hex())
        for secret in key.secrets
    )
    return replace(key, secrets=hashed, pepper=pepper.pepper_id)


def checked_name(name: str) -> str:
    """Raises ValueError for a name that would spoil a listing."""
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise ValueError(f"a key's name has at most {MAX_NAME_CHARS} characters, all printable")
    return name


def checked_tenant(tenant: str) -> str:
    """Raises ValueError for a tenant that is no plain word."""
    return _checked(tenant, _TENANT.fullmatch, "a tenant is 1 to 64 of A-Za-z0-9 and ._@+-")


def checked_owner(owner: str) -> str:
    """Raises ValueError for an owner that is no plain word."""
    return _checked(owner, _OWNER.fullmatch, "an owner is at most 128 of ASCII without spaces")


def checked_models(models: Iterable[str] | None) -> frozenset[str] | None:
    """Raises ValueError for what can be no model's name; which are served is known later."""
    if models is None:
        return None
    says = "a model's name is 1 to 256 characters without spaces"
    return frozenset(_checked(model, _MODEL.fullmatch, says) for model in models)


def checked_preset(preset: str) -> str:
    """Raises ValueError for what can be no preset's name; which there are is known later."""
    says = "a preset's name is up to 64 letters, digits, dots, dashes and underscores"
    return _checked(preset, _PRESET.fullmatch, says)


def checked_scopes(scopes: Iterable[str]) -> frozenset[Scope]:
    """Raises ValueError for a scope that there is not."""
    known = {str(scope): scope for scope in ALL_SCOPES}
    given = list(scopes)
    if unknown := [scope for scope in given if scope not in known]:
        raise ValueError(f"no scope is called {unknown[0]!r}: there are {', '.join(sorted(known))}")
    return frozenset(known[scope] for scope in given)


def as_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _checked(text: str, test: Callable[[str], object], says: str) -> str:
    if not test(text):
        raise ValueError(f"{says}, not {text[:80]!r}")
    return text
