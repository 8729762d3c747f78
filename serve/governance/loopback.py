"""Loopback: addresses and names that stay on this machine, and no name that could leave it.

Two questions, and their answers differ: what may a server listen on that has no keys, and by what
names may it be asked. A web page's owner can point any DNS name at 127.0.0.1 (DNS rebinding), so
only what no DNS server answers for is a name of loopback: literal addresses, ``localhost`` and the
names below it (RFC 6761, section 6.3).
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

IPV4_LOOPBACK: Final = "127.0.0.1"
IPV6_LOOPBACK: Final = "::1"
MAX_HOST_CHARS = 255

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9.-]+))(?::[0-9]{1,5})?")
_LOCALHOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*localhost\.?", re.IGNORECASE)


def is_loopback_name(name: str) -> bool:
    """Whether it is ``localhost`` or a name below it, which never need a look-up."""
    return len(name) <= MAX_HOST_CHARS and _LOCALHOST.fullmatch(name) is not None


def is_loopback_address(text: str) -> bool:
    """Whether it is a literal address of loopback: 127.0.0.0/8, or ::1 without brackets.

    An IPv4 address that is mapped into IPv6 is none: readers differ on what it is.
    """
    ipv4 = _ipv4(text)
    return ipv4.is_loopback if ipv4 else _ipv6(text) == IPv6Address(IPV6_LOOPBACK)


def is_loopback_host(host: str) -> bool:
    """Whether a ``Host`` header (RFC 9110, section 7.2) names this machine by itself.

    With or without a port, in upper or lower case, with or without the dot that ends an absolute
    name. 0.0.0.0 and [::] count, too: whoever connects to them reaches this machine; and so do IPv4
    addresses that are mapped into IPv6, which browsers send as [::ffff:7f00:1]. Other spellings of
    addresses (decimal, octal, short) do not: browsers never send them.
    """
    match = _HOST.fullmatch(host) if len(host) <= MAX_HOST_CHARS else None
    if match is None:
        return False
    if match["v6"]:
        ipv6 = _ipv6(match["v6"])
        return ipv6 is not None and _reaches_us(ipv6.ipv4_mapped or ipv6)
    name = match["name"]
    ipv4 = _ipv4(name.removesuffix("."))
    return is_loopback_name(name) if ipv4 is None else _reaches_us(ipv4)


def _reaches_us(address: IPv4Address | IPv6Address) -> bool:
    return address.is_loopback or address.is_unspecified


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def _ipv6(text: str) -> IPv6Address | None:
    try:
        return IPv6Address(text)
    except AddressValueError:
        return None
