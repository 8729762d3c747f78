"""The file that says which client certificate is whose. TOML, written by the operator::

    [[client]]
    name = "gateway"                      # in logs and metrics, as cert:gateway
    dns = "gateway.corp.example"          # or subject, uri, email: exactly one, compared whole
    tenant = "ward-3"
    owner = "gateway"                     # optional: the user within the tenant
    scopes = ["infer"]
    models = ["demo"]                     # optional: all that is served

It holds no secret, but whoever may write it may let anybody in.
"""

from __future__ import annotations

import logging
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

from models import plain_file
from models.rules.names import printable
from serve import timeline
from serve.errors import StartupError
from serve.governance.identity.client_certificate import Identity, IdentityKind, normal_identity
from serve.governance.principal import ALL_SCOPES, Principal

log = logging.getLogger(__name__)

MAX_FILE_BYTES: Final = 4 << 20
RETRY_INTERVAL_S: Final = 10.0
"""After a file that could not be read and has not changed: the fault may have passed."""
ID_PREFIX: Final = "cert:"
_KINDS: Final[tuple[IdentityKind, ...]] = get_args(IdentityKind)
_REQUIRED: Final = frozenset({"name", "tenant", "scopes"})
_OPTIONAL: Final = frozenset({"owner", "models", *_KINDS})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TENANT: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")

Principals = Mapping[Identity, Principal]


def read_map(path: Path) -> Principals:
    """The principal of each identity.

    Raises:
        StartupError: the file cannot be read, others may write it, or an entry is not good; the
            entry is named.
    """
    try:
        text = plain_file.read_text(path, MAX_FILE_BYTES, may_be_link=True)
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        _refuse(path, "is not there")
    except OSError as error:
        _refuse(path, f"cannot be used: {error.strerror or error}")
    if mode & 0o022:
        _refuse(
            path,
            f"has mode {mode:04o}: group or others may write it, and so let anybody in. "
            f"Run: chmod go-w {printable(str(path))}",
        )
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"is no TOML ({printable(str(error))})")
    entries = document.get("client", [])
    if set(document) - {"client"} or not isinstance(entries, list):
        _refuse(path, "has something else than [[client]] entries in it")
    found: dict[Identity, Principal] = {}
    names: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        try:
            identity, principal = _entry(entry)
            if principal.name in names:
                raise ValueError(f"the name {principal.name!r} is taken by an entry before")
            if identity in found:
                raise ValueError(f"{identity[0]} {identity[1]!r} is in an entry before")
        except ValueError as error:
            _refuse(
                path, f"has an entry that is not good, number {number}: {printable(str(error))}"
            )
        names.add(principal.name)
        found[identity] = principal
    return found


class ClientMap:
    """The principals of a map file, which follows its changes at once.

    The file is looked at for each certificate: what was taken out is refused from then on. A new
    file that cannot be used is logged as an error, and what was known stays.

    Args:
        clock: monotonic seconds; tests replace it.
        models: names that are served, of which entries may name some; None does not know them.

    Raises:
        StartupError: the file cannot be used at the start.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = timeline.now,
        models: frozenset[str] | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._models = models
        self._signature = _signature(path)
        self._principals = self._read()
        self._retry_at = 0.0
        self._fault = ""

    @property
    def is_in_force(self) -> bool:
        """Whether the newest file is the one in force."""
        self._follow()
        return not self._fault

    def principals(self) -> Principals:
        """The principal of each identity, as the file has them now."""
        self._follow()
        return self._principals

    def reload(self) -> None:
        """Read the file at once, changed or not."""
        self._signature = _signature(self._path)
        try:
            self._principals = self._read()
        except StartupError as error:
            self._retry_at = self._clock() + RETRY_INTERVAL_S
            if str(error) != self._fault:
                log.error("client certificates not reloaded, those known stay in force: %s", error)  # noqa: TRY400
            self._fault = str(error)
        else:
            self._fault = ""
            log.info("client certificates reloaded: %d", len(self._principals))

    def _read(self) -> Principals:
        found = read_map(self._path)
        if self._models is not None:
            for principal in found.values():
                self._check_models(principal, self._models)
        return found

    def _check_models(self, principal: Principal, served: frozenset[str]) -> None:
        for name in sorted((principal.models or served) - served):
            _refuse(
                self._path,
                f"lets {principal.name} ask the model {name!r}, which is not served. Served: "
                f"{', '.join(sorted(served))}",
            )

    def _follow(self) -> None:
        should_retry = bool(self._fault) and self._clock() >= self._retry_at
        if should_retry or _signature(self._path) != self._signature:
            self.reload()


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)


def _entry(entry: Any) -> tuple[Identity, Principal]:
    """One entry. Raises ValueError with the reason why it is not good."""
    if not isinstance(entry, dict):
        raise ValueError("it is no table")  # noqa: TRY004 - of the file
    if missing := sorted(_REQUIRED - set(entry)):
        raise ValueError(f"it lacks {', '.join(missing)}")
    if unknown := sorted(set(entry) - _REQUIRED - _OPTIONAL):
        raise ValueError(f"it has {', '.join(unknown)}, which nothing here reads")
    kinds = [kind for kind in _KINDS if kind in entry]
    if len(kinds) != 1:
        raise ValueError(f"it needs exactly one of {', '.join(_KINDS)}, and has {len(kinds)}")
    for key in ("name", "tenant", "owner", *kinds):
        if not isinstance(entry.get(key, ""), str):
            raise ValueError(f"{key} is no text")  # noqa: TRY004 - of the file
    name, tenant, owner = entry["name"], entry["tenant"], entry.get("owner", "")
    if not _NAME.fullmatch(name):
        raise ValueError(f"name {name!r}: letters, digits, '.', '_' and '-', at most 64")
    if not _TENANT.fullmatch(tenant) or (owner and not _TENANT.fullmatch(owner)):
        raise ValueError("tenant and owner are 1 to 128 printable characters of ASCII")
    scopes = _words(entry, "scopes")
    if unknown := sorted(scopes - ALL_SCOPES):
        raise ValueError(f"scopes {unknown}: there are {', '.join(sorted(ALL_SCOPES))}")
    principal = Principal(
        key_id=f"{ID_PREFIX}{name}",
        name=name,
        tenant=tenant,
        owner=owner,
        scopes=frozenset(scope for scope in ALL_SCOPES if scope in scopes),
        models=_words(entry, "models") if "models" in entry else None,
    )
    return normal_identity(kinds[0], entry[kinds[0]]), principal


def _words(entry: Mapping[str, Any], key: str) -> frozenset[str]:
    words = entry[key]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{key} is a list of texts")
    return frozenset(words)


def _refuse(path: Path, why: str) -> NoReturn:
    raise StartupError(f"Client certificate map {printable(str(path))} {why}.") from None
