"""URLs of stores, in files of one line: PostgreSQL's, and Valkey's or Redis'.

They hold passwords, so no message here repeats one, nor what is quoted of them by a library.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import psycopg
from psycopg import conninfo as conninfos

from models import private_file
from serve.errors import StartupError
from serve.storage.places import PostgresqlServer

MAX_FILE_BYTES = 64 << 10
_POSTGRESQL = ("postgresql", "postgres")
_CACHE = {"valkey": "redis", "redis": "redis", "valkeys": "rediss", "rediss": "rediss"}
_POSTGRESQL_PARAMETERS = frozenset(
    {
        *("host", "hostaddr", "port", "user", "password", "dbname", "target_session_attrs"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslcrldir"),
        *("ssl_min_protocol_version", "channel_binding", "require_auth"),
        *("gssencmode", "krbsrvname", "load_balance_hosts"),
    }
)
"""Those that an URL may set. Timeouts and the session's options are ours."""
_TLS_PARAMETERS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_SAID_MODES = frozenset({"disable", "require", "verify-ca", "verify-full"})
"""Values of sslmode that do as they say; the others fall back to no encryption silently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheServer:
    """A server of counters that replicas share.

    Attributes:
        url: as the client library reads it; with the password, and not shown.
        name: for messages; without it.
    """

    url: str = field(repr=False)
    name: str


def read_database_url(path: Path) -> PostgresqlServer:
    """The server that a file names.

    Raises:
        StartupError: the file cannot be read, others may read it, or it holds no such URL.
    """
    return database_of(_line(path, "--database-url-file"), origin=f"--database-url-file {path}")


def read_cache_url(path: Path) -> CacheServer:
    """The server that a file names. Raises StartupError as `read_database_url` does."""
    return cache_of(_line(path, "--cache-url-file"), origin=f"--cache-url-file {path}")


def database_of(url: str, *, origin: str) -> PostgresqlServer:
    """The server of ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...``.

    Args:
        origin: where the URL is from, for messages.

    Raises:
        StartupError: it is no such URL, or does not say whether the connection is encrypted.
    """
    parts = _split(url, origin, _POSTGRESQL, "postgresql://USER:PASSWORD@HOST/DATABASE")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    _refuse_unknown(given, _POSTGRESQL_PARAMETERS, origin)
    try:
        parsed = {name: str(value) for name, value in conninfos.conninfo_to_dict(url).items()}
    except psycopg.Error:  # its words may quote what it could not read
        _refuse(origin, "cannot be read. Write @ : / ? % in a password as %40 %3A %2F %3F %25")
    if not parsed.get("dbname"):
        _refuse(origin, "names no database: postgresql://USER:PASSWORD@HOST/DATABASE")
    host = parsed.get("host") or parsed.get("hostaddr") or ""
    if not host:
        _refuse(origin, "names no host. For a local socket: postgresql:///DATABASE?host=/FOLDER")
    is_here = all(map(_is_here, host.split(",")))
    if not is_here and parsed.get("sslmode") not in _SAID_MODES:
        _refuse(
            origin,
            "leads to another machine and does not say whether the connection is encrypted: "
            "add ?sslmode=verify-full&sslrootcert=FILE, or ?sslmode=disable where something else "
            "encrypts it",
        )
    parsed.setdefault("gssencmode", "disable")  # else the library tries Kerberos, and warns
    if is_here:
        parsed.setdefault("sslmode", "prefer")
    name = f"{parsed['dbname']} on {host}"
    return PostgresqlServer(conninfo=conninfos.make_conninfo("", **parsed), name=name)


def cache_of(url: str, *, origin: str) -> CacheServer:
    """The server of ``valkey://``, ``redis://``, with TLS ``valkeys://`` or ``rediss://``, ``unix://``.

    Raises:
        StartupError: it is no such URL.
    """
    parts = _split(url, origin, (*_CACHE, "unix"), "valkeys://USER:PASSWORD@HOST:PORT/0")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme == "unix":
        _refuse_unknown(given, frozenset({"db"}), origin)
        if not parts.path.startswith("/") or parts.hostname:
            _refuse(origin, "names no socket: unix:///FOLDER/SOCKET, with three slashes")
        return CacheServer(url=url, name=unquote(parts.path))
    scheme = _CACHE[parts.scheme]
    _refuse_unknown(given, _TLS_PARAMETERS if scheme == "rediss" else frozenset(), origin)
    if not parts.hostname:
        _refuse(origin, f"names no host: {parts.scheme}://HOST:6379/0")
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        _refuse(origin, "ends in something else than a database's number, such as /0")
    name = f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}"
    return CacheServer(url=parts._replace(scheme=scheme).geturl(), name=name)


def _line(path: Path, flag: str) -> str:
    try:
        text = private_file.read(path, MAX_FILE_BYTES).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise StartupError(f"{flag} {path} is not UTF-8 text: one line with a URL.") from None
    except OSError as error:
        raise StartupError(f"{flag} {path}: {error.strerror or error}.") from None
    if not text or len(text.splitlines()) > 1 or not text.isprintable():
        raise StartupError(f"{flag} {path} is not one line with a URL.")
    return text


def _split(url: str, origin: str, schemes: tuple[str, ...], form: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # which raises ValueError, too, and quotes what it found
    except ValueError:
        _refuse(origin, "has no valid host and port. Write @ : / in a password as %40 %3A %2F")
    if parts.netloc.count("@") > 1:  # libraries differ on which one ends the password
        _refuse(origin, "has more than one @. Write @ : / ? % in a password as %40 %3A %2F %3F %25")
    if parts.scheme not in schemes:
        _refuse(origin, f"is no URL of {', '.join(f'{scheme}://' for scheme in schemes)}: {form}")
    if parts.fragment:
        _refuse(origin, "has a # in it: write it as %23")
    return parts


def _refuse_unknown(given: dict[str, str], known: frozenset[str], origin: str) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        allowed = f"those there are: {', '.join(sorted(known))}" if known else "it takes none"
        _refuse(origin, f"has the parameter {unknown[0][:40]!r}; {allowed}")


def _is_here(host: str) -> bool:
    """Whether a host is this machine: a socket's folder, or a loopback address."""
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse(origin: str, why: str) -> NoReturn:
    raise StartupError(f"{origin}: the URL {why}.") from None
