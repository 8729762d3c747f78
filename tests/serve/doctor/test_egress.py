from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from serve.doctor import egress
from serve.doctor.finding import Finding
from serve.errors import StartupError
from tests.serve.doctor.machines import machine, write

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
LAN = "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"  # 10.0.0.0/8
DEFAULT = "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
PUBLIC = "eth0\t08080808\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n"  # 8.8.8.8/32
REJECT = "lo\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n"
ZEROS = "0" * 32
DEFAULT6 = f"{ZEROS} 00 {ZEROS} 00 fd{'0' * 29}1 00000400 00000002 00000000 00000003     eth0\n"
REJECT6 = f"{ZEROS} 00 {ZEROS} 00 {ZEROS} ffffffff 00000001 00000000 00200200       lo\n"
LAN6 = f"fd{'0' * 30} 40 {ZEROS} 00 {ZEROS} 00000100 00000001 00000000 00000001     eth0\n"


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "level"),
    [
        ("", "", "ok"),
        (REJECT, REJECT6, "ok"),
        (LAN, LAN6, "ok"),
        (LAN + DEFAULT, "", "warning"),
        (LAN + PUBLIC, "", "warning"),
        (LAN, LAN6 + DEFAULT6, "warning"),
    ],
)
def test_a_route_that_leads_out_is_found(tmp_path: Path, ipv4: str, ipv6: str, level: str) -> None:
    write(tmp_path, "proc/net/route", HEAD + ipv4)
    write(tmp_path, "proc/net/ipv6_route", ipv6)
    assert egress.routes(machine(tmp_path)).level == level


def test_nothing_is_tried_unless_it_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(socket, "socket", None)
    assert egress.trial(machine(tmp_path)).level == "skipped"


def try_out(tmp_path: Path, address: str) -> Finding:
    return egress.trial(machine(tmp_path, probe=address))


def test_a_connection_that_is_made_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as outside:
        outside.bind(("127.0.0.1", 0))
        outside.listen()
        port = outside.getsockname()[1]
        found = try_out(tmp_path, f"127.0.0.1:{port}")
        accepted, _ = outside.accept()
        with accepted:
            assert accepted.recv(1) == b"", "no byte was sent"
    assert found.level == "failure"
    assert try_out(tmp_path, f"127.0.0.1:{port}").level == "warning", "it refuses now"


@pytest.mark.parametrize(
    ("error", "address", "level"),
    [
        (errno.ENETUNREACH, "192.0.2.1:443", "ok"),
        (errno.EPERM, "10.0.0.1:443", "ok"),
        (errno.EAGAIN, "10.0.0.1:443", "ok"),  # no answer in time
        (errno.EAGAIN, "192.0.2.1:443", "warning"),
        (errno.EAGAIN, "[2001:db8::1]:443", "warning"),
    ],
)
def test_no_answer_is_judged_by_where_it_should_come_from(
    tmp_path: Path, monkeypatch, error: int, address: str, level: str
) -> None:
    """The network is a stand-in: this one may let packets out, or not."""
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: error)
    assert try_out(tmp_path, address).level == level


@pytest.mark.parametrize(
    "text", ["example.com:443", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "::1:443", "1.2.3:4"]
)
def test_only_an_address_and_a_port_are_taken(text: str) -> None:
    with pytest.raises(StartupError, match="--probe-egress"):
        egress.parse_probe(text)
