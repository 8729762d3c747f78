"""Egress: whether packets can leave, by the kernel's routes and, on request, by a connection.

Without a route that leads out nothing can leave. With one, a firewall may still stop every packet,
which cannot be seen from within; ``--probe-egress`` tries a connection.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from models.memory.host_memory import read_text
from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine
from serve.errors import StartupError

PROBE_TIMEOUT_S = 3.0
DOCUMENTATION_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
"""Networks for documentation (RFC 5737, RFC 3849): no answer from there proves nothing."""
_UP, _REJECT = 0x1, 0x200  # RTF_UP, RTF_REJECT
_BLOCKED = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM})

Network = IPv4Network | IPv6Network


def routes(machine: Machine) -> Finding:
    """Is there a route that leads out of private networks?"""
    known = [*_ipv4(machine.root), *_ipv6(machine.root)]
    if not known:
        return ok("There is no route but loopback: nothing can leave.")
    outward = sorted({f"{network} by {name}" for network, name in known if not _is_inside(network)})
    if not outward:
        inside = ", ".join(sorted({f"{network} by {name}" for network, name in known}))
        return ok(f"No route leads out; within private networks: {inside}.")
    return warning(
        f"Packets may leave: {', '.join(outward)}. "
        "Whether a firewall stops them cannot be seen here.",
        "Remove the route, or take a network policy or firewall that denies by default; then try "
        "it: --probe-egress ADDRESS:PORT, with an address outside that would answer.",
    )


def trial(machine: Machine) -> Finding:
    """Can the address of ``--probe-egress`` be reached? No byte is sent on the connection."""
    if machine.probe is None:
        return skipped("No connection was tried: --probe-egress ADDRESS:PORT tries one.")
    address, port = parse_probe(machine.probe)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(PROBE_TIMEOUT_S)
        error = client.connect_ex((str(address), port))
    if error == 0:
        return failure(
            f"A connection to {machine.probe} was made: egress is open.",
            "Deny it: a firewall, a NetworkPolicy and a network plug-in that enforces it, or a "
            "network namespace without a route.",
        )
    if error == errno.ECONNREFUSED:
        return warning(
            f"{machine.probe} refused: packets went somewhere and back, or a firewall says no.",
            "Try an address and port that would answer.",
        )
    if error in _BLOCKED:
        return ok(f"{machine.probe} cannot be reached: {os.strerror(error).lower()}.")
    if any(address in network for network in DOCUMENTATION_NETWORKS):
        return warning(
            f"{machine.probe} did not answer, and nobody ever answers there.",
            "Try an address outside that would answer if packets came through.",
        )
    return ok(f"{machine.probe} did not answer within {PROBE_TIMEOUT_S:g} s.")


def parse_probe(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    """An address and a port.

    Raises:
        StartupError: the text is something else. A host name is refused, too: looking it up would
            ask a DNS server.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})", text)
    try:
        if match is None or not 0 < int(match[3]) < 1 << 16:
            raise ValueError
        return ipaddress.ip_address(match[1] or match[2]), int(match[3])
    except ValueError:
        raise StartupError(
            f"--probe-egress {text[:80]!r}: an address and a port are needed, such as "
            "192.0.2.1:443 or [2001:db8::1]:443. A name is not taken: looking it up asks a DNS "
            "server."
        ) from None


def _ipv4(root: Path) -> Iterator[tuple[Network, str]]:
    """Routes of /proc/net/route (proc(5)): hexadecimal, in the machine's byte order."""
    for line in read_text(root / "proc/net/route").splitlines()[1:]:
        name, destination, _, flags, _, _, _, mask = line.split()[:8]
        if int(flags, 16) & _UP and not int(flags, 16) & _REJECT:
            address = int.from_bytes(bytes.fromhex(destination), "little")
            length = int(mask, 16).bit_count()
            yield IPv4Network((address, length)), name


def _ipv6(root: Path) -> Iterator[tuple[Network, str]]:
    """Routes of /proc/net/ipv6_route, but for loopback's and those to one address or to many."""
    for line in read_text(root / "proc/net/ipv6_route").splitlines():
        fields = line.split()
        network = IPv6Network((int(fields[0], 16), int(fields[1], 16)))
        flags, name = int(fields[8], 16), fields[9]
        is_own = name == "lo" or network.prefixlen == 128 or network.is_multicast
        if flags & _UP and not flags & _REJECT and not is_own:
            yield network, name


def _is_inside(network: Network) -> bool:
    return network.prefixlen > 0 and (network.is_private or network.is_multicast)
