"""Pinned hosts: a name, and the addresses that it may have.

The webhook is the one way out of the walls, so whoever controls a name server must not steer it.
The name is looked up once for each delivery, every address of the answer must lie in the pinned
network, and the connection goes to the address that was checked, never to the name again. Some
addresses are never taken, whatever is pinned: link-local ones, where clouds keep their
credentials, and those that are nobody's or everybody's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_PUBLIC_ADDRESSES: Final = 256
"""Largest network that may be pinned where its addresses are not private ones."""
_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "fd00:ec2::254", "168.63.129.16")
)
"""Metadata services of clouds that are not link-local."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")


class AddressRefused(Exception):
    """A host has no address, or one that may not be reached. The message has no address."""


def network_of(text: str) -> Network:
    """The network that an address or a CIDR pins.

    Raises:
        ValueError: it is neither, or it pins too little or what is never reached.
    """
    try:
        network = ipaddress.ip_network(text, strict=True)
    except ValueError:
        raise ValueError(
            "an address (10.0.0.7) or a network (10.0.0.0/24) is needed, without host bits"
        ) from None
    is_nobodys = network.num_addresses == 1 and is_forbidden(network.network_address)
    if is_nobodys or network.is_link_local or network.is_multicast:
        raise ValueError("what it pins is never reached: link-local, metadata, multicast or none")
    if network.is_global and network.num_addresses > MAX_PUBLIC_ADDRESSES:
        raise ValueError(
            f"it has {network.num_addresses} addresses that are not private: at most "
            f"{MAX_PUBLIC_ADDRESSES}"
        )
    return network


def is_forbidden(address: Address) -> bool:
    """Whether the address is never reached, whatever is pinned."""
    plain = _unwrapped(address)
    return (
        plain.is_link_local
        or plain.is_multicast
        or plain.is_unspecified
        or (plain.is_reserved and not plain.is_loopback)
        or plain in _METADATA
        or plain in _THIS_NETWORK
    )


async def system_addresses(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver gives.

    Raises:
        OSError: none is known.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedHost:
    """A host by its name or address, and the network that it is pinned to.

    Attributes:
        host: as TLS and HTTP name it; without the brackets of an IPv6 address.
    """

    host: str
    port: int
    network: Network
    resolve: Resolve = system_addresses

    async def address(self) -> str:
        """An address to connect to, checked. A single pinned one needs no look-up.

        Raises:
            AddressRefused: there is none, or one of them is not within the pin.
        """
        if self.network.num_addresses == 1:
            return str(self._checked(self.network.network_address))
        try:
            texts = [self.host] if _is_address(self.host) else await self._looked_up()
            addresses = [self._checked(ipaddress.ip_address(text)) for text in texts]
        except ValueError:  # an address with a zone, which is link-local
            raise AddressRefused("a name leads to an address that may not be reached") from None
        return str(addresses[0])

    async def _looked_up(self) -> Sequence[str]:
        try:
            texts = await self.resolve(self.host, self.port)
        except (OSError, UnicodeError):
            texts = ()
        if not texts:
            raise AddressRefused("the name of the host has no address")
        return texts

    def _checked(self, address: Address) -> Address:
        if is_forbidden(address) or address not in self.network:
            raise AddressRefused("a name leads to an address that may not be reached")
        return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries, where it does."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
