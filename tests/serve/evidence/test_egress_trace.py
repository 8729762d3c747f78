"""Connections are counted in what strace wrote, and those beyond loopback are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.evidence.egress_trace import egress

LOOPBACK = """\
101 connect(5, {sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
101 connect(6, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = -1 ENOENT (No such file)
102 sendto(7, "x", 1, 0, NULL, 0) = 1
[pid   103] connect(8, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), \
inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28 <unfinished ...>
"""
OUTSIDE = """\
104 sendto(9, "..", 30, 0, {sa_family=AF_INET, sin_port=htons(53), \
sin_addr=inet_addr("10.0.0.2")}, 16) = 30
104 connect(9, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), \
inet_pton(AF_INET6, "2001:db8::7", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH
"""


def test_loopback_alone_is_whole(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text(LOOPBACK)
    part = egress(trace)
    assert part.state == "whole"
    found = json.loads(part.files["egress.json"])
    assert found["loopback"] == {"127.0.0.1:5432": 1, "[::1]:80": 1}
    assert found["beyond_loopback"] == {}
    assert part.files["egress-trace.txt"] == LOOPBACK.encode()


def test_a_server_that_connected_to_nothing_is_whole(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("2046  --- SIGTERM {si_signo=SIGTERM} ---\n2046  +++ exited with 0 +++\n")
    part = egress(trace)
    assert (part.state, part.summary[:30]) == ("whole", "0 calls to addresses in 2 line")


def test_what_goes_further_is_named(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text(LOOPBACK + OUTSIDE)
    part = egress(trace)
    assert part.state == "partly"
    assert "10.0.0.2:53, [2001:db8::7]:443" in part.summary


def test_an_address_that_only_looks_like_loopback_is_named(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    line = LOOPBACK.splitlines()[0]
    trace.write_text(line.replace('"127.0.0.1"', '"128.0.0.1"') + "\n")
    assert egress(trace).state == "partly"


def test_no_trace_is_missing() -> None:
    assert egress(None).state == "missing"


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "notes"
    other.write_text("nothing of strace's\n")
    with pytest.raises(StartupError, match="no line of it is one of strace's"):
        egress(other)
    other.write_text("")
    with pytest.raises(StartupError, match="no line of it is one of strace's"):
        egress(other)
    with pytest.raises(StartupError, match="No such file"):
        egress(tmp_path / "absent")
