"""Starts `python -m serve` where there is no network but loopback, asks it, and prints what came.

    unshare --user --map-root-user --net python -m tests.e2e.alone FOLDER ARGUMENT...

Server and client have to be in the same network namespace, so this is a program and not a test.
The last line of stdout is a JSON object.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

import httpx

from tests.e2e.server import serving

UNSHARE = ["unshare", "--user", "--map-root-user", "--net"]
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def bring_loopback_up() -> None:
    """As `ip link set lo up` does (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(control, SIOCGIFFLAGS, asked), 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def main(folder: Path, arguments: list[str]) -> None:
    bring_loopback_up()
    with serving(folder, arguments) as server:
        body = {"model": "tiny", "prompt": "def prefill(", "max_tokens": 5, "temperature": 0}
        answer = httpx.post(server.url + "/v1/completions", json=body, timeout=60)
        code = server.terminate()
    interfaces = sorted(name for _, name in socket.if_nameindex())
    print(json.dumps({"answer": answer.json(), "code": code, "interfaces": interfaces}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
