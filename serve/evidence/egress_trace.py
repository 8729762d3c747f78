"""The destinations of a server's connections, counted in a trace of its system calls.

strace writes the trace, from a server's start on or of one that runs::

    strace -f -e trace=connect,sendto,sendmsg,sendmmsg -o trace.txt python -m serve ...
    strace -f -p PID -e trace=connect,sendto,sendmsg,sendmmsg -o trace.txt

A trace shows what was tried while it ran, and no more: neither before, nor on another path through
the code, nor by another process.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from models import plain_file
from serve.errors import StartupError
from serve.evidence.part import Part, json_bytes, missing

NAME: Final = "egress"
MAX_BYTES: Final = 256 << 20
_ADDRESS = re.compile(
    r"sin6?_port=htons\((?P<port>\d+)\).*?"
    r"(?:inet_addr\(\"(?P<four>[^\"]+)\"\)|inet_pton\(AF_INET6, \"(?P<six>[^\"]+)\")"
)
_WRITTEN = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(?:[\d:.]+ )?(?:\w+\(|\+\+\+ \w+ |--- SIG)")
"""Lines of strace's: calls, ends of processes (of a server that called nothing there are no other
ones), signals."""


def egress(trace: Path | None) -> Part:
    """The part of the connections that were tried.

    Args:
        trace: a file that strace wrote; None where there is none.

    Raises:
        StartupError: it cannot be read, or is no such file.
    """
    if trace is None:
        return missing(
            NAME, "No trace was given: run the server under strace, and name it by --egress-trace."
        )
    try:
        data = plain_file.read(trace, MAX_BYTES, may_be_link=True)
    except plain_file.TooLargeError as error:
        raise StartupError(
            f"--egress-trace {trace} {error.strerror}. Trace for a shorter time, or only connect, "
            "sendto, sendmsg and sendmmsg."
        ) from None
    except OSError as error:
        raise StartupError(f"--egress-trace {trace}: {error.strerror or error}.") from None
    lines = data.decode(errors="replace").splitlines()
    num_calls, destinations = count(lines)
    if not num_calls and not any(map(_WRITTEN.match, lines)):
        raise StartupError(f"--egress-trace {trace}: no line of it is one of strace's.")
    outside = {place: n for place, n in destinations.items() if not _is_loopback(place)}
    found = {
        "calls": num_calls,
        "loopback": {p: n for p, n in destinations.items() if p not in outside},
        "beyond_loopback": outside,
    }
    told = "none beyond loopback" if not outside else f"beyond loopback: {', '.join(outside)}"
    return Part(
        name=NAME,
        state="whole" if not outside else "partly",
        summary=f"{num_calls} calls to addresses in {len(lines)} lines of a trace; {told}.",
        files={"egress.json": json_bytes(found), "egress-trace.txt": data},
    )


def count(lines: Iterable[str]) -> tuple[int, dict[str, int]]:
    """The calls that name an address of the Internet's families, and how often each was named."""
    places: Counter[str] = Counter()
    for line in lines:
        for match in _ADDRESS.finditer(line):
            address, port = match["four"] or match["six"], match["port"]
            shown = f"[{address}]" if ":" in address else address
            places[f"{shown}:{port}"] += 1
    return places.total(), dict(sorted(places.items()))


def _is_loopback(place: str) -> bool:
    host = place.rpartition(":")[0].strip("[]")
    try:
        address: Any = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
