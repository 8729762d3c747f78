"""Pinned hosts: no answer of a name server leads anywhere but into the pinned network."""

from __future__ import annotations

import pytest

from serve.governance.alerts.pinning import AddressRefused, PinnedHost, network_of, system_addresses

METADATA = (
    "169.254.169.254",
    "fe80::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "100.100.100.200",
    "fd00:ec2::254",
    "168.63.129.16",
)
NOBODYS = ("0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1")


class Names:
    """A resolver that answers differently each time, and counts."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> list[str]:
        self.asked += 1
        answer = self.answers.pop(0)
        if not answer:
            raise OSError("no such name")
        return answer


def pinned(network: str, names: Names, host: str = "hooks.example.org") -> PinnedHost:
    return PinnedHost(host=host, port=443, network=network_of(network), resolve=names)


async def test_a_name_may_have_any_address_of_the_network():
    assert await pinned("10.0.0.0/24", Names(["10.0.0.9", "10.0.0.7"])).address() == "10.0.0.9"
    assert await pinned("fd12::/64", Names(["fd12::5"])).address() == "fd12::5"


async def test_one_address_needs_no_name_server():
    names = Names()
    assert await pinned("10.0.0.7", names).address() == "10.0.0.7"
    assert names.asked == 0


async def test_rebinding_is_refused():
    names = Names(["10.0.0.7"], ["192.168.0.1"], ["10.0.0.7", "203.0.113.9"])
    host = pinned("10.0.0.0/24", names)
    assert await host.address() == "10.0.0.7"
    for _ in range(2):
        with pytest.raises(AddressRefused):
            await host.address()
    assert names.asked == 3, "once for each delivery"


@pytest.mark.parametrize("address", [*METADATA, *NOBODYS, "127.0.0.1", "8.8.8.8", "fe80::1%lo"])
async def test_a_name_that_leads_astray_is_refused(address):
    for network in ("10.0.0.0/8", "fd00::/8"):
        with pytest.raises(AddressRefused, match="may not be reached"):
            await pinned(network, Names([address])).address()


async def test_an_address_for_a_host_is_checked_too():
    names = Names()
    assert await pinned("10.0.0.0/24", names, host="10.0.0.9").address() == "10.0.0.9"
    with pytest.raises(AddressRefused):
        await pinned("10.0.0.0/24", names, host="169.254.169.254").address()
    assert names.asked == 0


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "169.254.43518"])
async def test_an_address_in_disguise_is_what_it_leads_to(host):
    """The system's resolver reads these as 169.254.169.254."""
    network = network_of("10.0.0.0/8")
    with pytest.raises(AddressRefused):
        await PinnedHost(host=host, port=80, network=network, resolve=system_addresses).address()


async def test_a_name_without_an_address():
    with pytest.raises(AddressRefused, match="no address"):
        await pinned("10.0.0.0/24", Names([])).address()


@pytest.mark.parametrize(
    "text", [*METADATA, *NOBODYS, "169.254.0.0/16", "fe80::/10", "224.0.0.0/4"]
)
def test_some_addresses_cannot_be_pinned(text):
    with pytest.raises(ValueError, match="never reached"):
        network_of(text)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "8.0.0.0/8", "8.8.0.0/23"])
def test_the_world_is_no_pin(text):
    with pytest.raises(ValueError, match="not private"):
        network_of(text)


@pytest.mark.parametrize("text", ["", "hooks.example.org", "10.0.0.7/24", "10.0.0", "a/b"])
def test_a_pin_is_an_address_or_a_network(text):
    with pytest.raises(ValueError, match="without host bits"):
        network_of(text)


@pytest.mark.parametrize("text", ["127.0.0.1", "10.0.0.0/8", "fd00::/8", "8.8.8.0/24", "::1"])
def test_pins_that_will_do(text):
    assert str(network_of(text)).startswith(text.split("/")[0])
