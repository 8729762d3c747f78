"""The listening sockets: on loopback unless there are keys, with a clear word when it cannot.

``localhost`` is both loopback addresses, whichever a client tries first; ``::`` is every address of
both families. All sockets of a server have the same port.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

from serve.config import Config
from serve.errors import StartupError
from serve.governance.loopback import (
    IPV4_LOOPBACK,
    IPV6_LOOPBACK,
    is_loopback_address,
    is_loopback_name,
)
from serve.origins import ANY_ORIGIN, OPAQUE_ORIGIN

log = logging.getLogger(__name__)

BACKLOG = 2048
MAX_PORTS_TRIED = 20
"""Free ports of one address that are tried on the other, for ``--port 0``."""

_ANY_IPV4, _ANY_IPV6 = "0.0.0.0", "::"  # noqa: S104 - bound only where the operator says so
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
"""Errors of a machine that does not have this address, or not its family."""


class CannotListenError(StartupError):
    """A socket that cannot be bound, with what to do in words of the server's flags.

    Attributes:
        what: the message without them.
        is_taken: another port may do; else it is the address.
    """

    def __init__(self, what: str, *, is_taken: bool) -> None:
        if is_taken:
            advice = "Stop what uses it, or choose another with --port (0 takes a free one)."
        else:
            advice = "Give an address of this machine with --host."
        super().__init__(f"{what} {advice}")
        self.what = what
        self.is_taken = is_taken


def check_exposure(config: Config) -> None:
    """Refuse to listen beyond loopback without keys or in plain HTTP, and to let any web page ask.

    Raises:
        StartupError: --host is not loopback, and there are no keys, or no certificate and nothing
            in front; --allowed-origins is open and there are no keys; or --host is more than a
            host, of which keys would make no address.
    """
    host = _plain(config.host)
    if "/" in host or re.search(r"^[^:]*:\d+$|\]:", host):
        raise StartupError(
            f"--host {config.host} is more than an address or a name: give that alone, and the "
            "port by --port."
        )
    is_loopback = is_loopback_name(host) or is_loopback_address(host)
    knows_callers = config.needs_key or config.client_cert_map is not None
    if not (is_loopback or knows_callers):
        raise StartupError(
            f"--host {config.host} is not loopback and there are no API keys, so anyone could ask. "
            "Make a key with `python -m serve keys create` and give its file with --api-key-file, "
            "or bind to 127.0.0.1."
        )
    if not (is_loopback or config.ssl_certfile is not None or config.behind_proxy):
        raise StartupError(
            f"--host {config.host} is not loopback and there is no TLS, so keys and prompts could "
            "be read on their way. Give a certificate with --ssl-certfile and --ssl-keyfile; or "
            "--behind-proxy, where something in front does TLS and nobody else reaches this "
            "address; or bind to 127.0.0.1."
        )
    if config.needs_key:
        return
    if open_origins := {ANY_ORIGIN, OPAQUE_ORIGIN} & set(config.allowed_origins):
        raise StartupError(
            f"--allowed-origins {min(open_origins)} lets every web page that a user of this "
            "machine opens ask, and there are no API keys. Name the origins one by one, or make a "
            "key with `python -m serve keys create` and give its file with --api-key-file."
        )


def listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets, one for each address of the host, all of one port.

    Args:
        host: an address, with or without brackets, or a name. Loopback's names are not looked up.
        port: 0 takes one that is free on all of them.

    Raises:
        CannotListenError: with what to do, where the port is taken on any of them.
        StartupError: the host is empty.
    """
    addresses = _addresses(_plain(host), port)
    for _ in range(MAX_PORTS_TRIED):
        listeners = _listen_on_all(addresses, port, is_last_try=False)
        if listeners is not None:
            return listeners
    listeners = _listen_on_all(addresses, port, is_last_try=True)
    return listeners or []


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """``listen``, while the block runs."""
    listeners = listen(host, port)
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.close()


def in_url(host: str) -> str:
    """The host as a URL has it: an IPv6 address in brackets, its zone escaped (RFC 6874)."""
    host = _plain(host)
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def url_of(
    host: str, listeners: Sequence[socket.socket], names: Sequence[str] | None = None
) -> str:
    """A URL by which a server that was told to listen on ``host`` can be asked.

    Args:
        names: those of its certificate; None without TLS. Another than these a client would refuse.
    """
    address, port = listeners[0].getsockname()[:2]
    if is_loopback_name(host):
        host = "localhost"  # names below it are not looked up everywhere
    elif _plain(host) == _ANY_IPV6:
        host = address
    if names is None:
        return f"http://{in_url(host)}:{port}"
    if _plain(host) not in names:
        host = next((name for name in names if "*" not in name), host)
    return f"https://{in_url(host)}:{port}"


def _listen_on_all(
    addresses: Sequence[str], port: int, *, is_last_try: bool
) -> list[socket.socket] | None:
    """One try. None where a port that was free on one address is taken on another.

    Addresses that this machine does not have are left out while there are others.
    """
    listeners: list[socket.socket] = []
    absent: list[tuple[str, OSError]] = []
    with ExitStack() as undo:
        for address in addresses:
            wanted = port or (listeners[0].getsockname()[1] if listeners else 0)
            try:
                listener = _bound(address, wanted)
            except OSError as error:
                if error.errno in _NO_SUCH_ADDRESS and len(addresses) > 1:
                    absent.append((address, error))
                    continue
                is_chosen_by_us = port == 0 and bool(listeners)
                if is_chosen_by_us and error.errno == errno.EADDRINUSE and not is_last_try:
                    return None
                raise _cannot_listen(address, wanted, error) from None
            undo.callback(listener.close)
            listeners.append(listener)
        if not listeners:
            raise _cannot_listen(absent[0][0], port, absent[0][1]) from None
        for address, _ in absent:
            log.warning("not listening on %s: this machine does not have it", in_url(address))
        undo.pop_all()
    return listeners


def _addresses(host: str, port: int) -> list[str]:
    """The literal addresses that a host stands for."""
    if not host:
        raise StartupError(
            "--host is empty: give an address, or leave it out to listen on 127.0.0.1."
        )
    if is_loopback_name(host):
        return [IPV4_LOOPBACK, IPV6_LOOPBACK]
    if host == _ANY_IPV6:
        return [_ANY_IPV6] if _has_ipv6() else [_ANY_IPV4]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _has_ipv6() -> bool:
    """Whether a socket can take an IPv6 address here: kernels can have the family turned off."""
    try:
        _bound(_ANY_IPV6, 0).close()
    except OSError as error:
        return error.errno not in _NO_SUCH_ADDRESS
    return True


def _bound(address: str, port: int) -> socket.socket:
    is_ipv6 = ":" in address
    listener = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    with ExitStack() as undo:
        undo.callback(listener.close)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6:
            # Only "::" takes IPv4, too, whatever the machine's default is (RFC 3493, section 5.3).
            is_only = int(address != _ANY_IPV6)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, is_only)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        undo.pop_all()
    return listener


def _cannot_listen(address: str, port: int, error: Exception) -> CannotListenError:
    where = f"{in_url(address)}:{port}"
    reason = getattr(error, "strerror", None) or "it is no name of a host"
    is_taken = getattr(error, "errno", None) in {errno.EADDRINUSE, errno.EACCES}
    return CannotListenError(f"cannot listen on {where}: {reason}.", is_taken=is_taken)


def _plain(host: str) -> str:
    """The host in its shortest form: without a URL's brackets, an address as RFC 5952 has it.

    ``*`` is every address; as a name it would be looked up as two that cannot share a port.
    """
    if host == "*":
        return _ANY_IPV6
    is_bracketed = host.startswith("[") and host.endswith("]") and ":" in host
    host = host[1:-1] if is_bracketed else host
    try:
        return str(ip_address(host))
    except ValueError:
        return host
