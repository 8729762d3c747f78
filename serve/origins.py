"""Origins of web pages, as browsers write them (RFC 6454, section 6.2): ``scheme://host[:port]``."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

ANY_ORIGIN: Final = "*"
OPAQUE_ORIGIN: Final = "null"
"""The origin of pages that have none, such as a file's, and of any page that sandboxes itself."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?/?"
)


def origin_of(text: str) -> str:
    """An origin in the form in which browsers send it: lower case, without a default port.

    Args:
        text: an origin, ``*`` or ``null``. A slash at its end is passed over.

    Raises:
        ValueError: it is none; a pattern, a path and a user name are not of an origin.
    """
    given = text.strip().lower()
    if given in {ANY_ORIGIN, OPAQUE_ORIGIN}:
        return given
    match = _ORIGIN.fullmatch(given) if given.isascii() else None
    host = _host(match["host"]) if match else None
    if match is None or host is None or int(match["port"] or 0) > _MAX_PORT:
        raise ValueError(
            f"{text[:80]!r} is no origin. Write scheme://host or scheme://host:port, one by one, "
            "without a path and without wildcards; a name with other than ASCII letters as xn--"
        )
    scheme, port = match["scheme"], match["port"]
    is_default = port is None or int(port) == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" + ("" if is_default else f":{int(port)}")


def _host(text: str) -> str | None:
    if not text.startswith("["):
        return text
    try:
        return f"[{IPv6Address(text[1:-1])}]"
    except AddressValueError:
        return None
