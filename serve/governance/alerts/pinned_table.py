"""Fields of a table that names a URL and the address that it is pinned to, and their connection."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import Field

from serve.governance.alerts.pinned_http import PORTS, PinnedHttp, Target, client_context
from serve.governance.alerts.pinning import PinnedHost, network_of
from serve.governance.typed_tables import TypedTable, named

_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)


class PinnedTable(TypedTable):
    """Fields of every such table."""

    url: str
    address: str
    port: int | None = Field(None, ge=1, le=65535)
    ca_file: Path | None = None
    allow_http: bool = False

    def http(self, table: str, folder: Path, timeout_s: float) -> PinnedHttp:
        """The way to what is named.

        Args:
            table: its name in the file, for messages.
            folder: of the file; relative paths start there.
            timeout_s: for all of a post.

        Raises:
            ValueError: a field cannot be used; it is named.
        """
        with named(f"{table}.url"):
            target = parse_url(self.url)
        with named(f"{table}.address"):
            network = network_of(self.address)
        expected = self.port or PORTS[target.scheme]
        if target.port != expected:
            raise ValueError(
                f"{table}.url has port {target.port}: say so with port = {target.port}, too, or "
                f"take {expected}"
            )
        context = client_context(
            target,
            network,
            url=self.url,
            ca_file=self.ca_file and folder / self.ca_file,
            allow_http=self.allow_http,
            table=table,
        )
        pinned = PinnedHost(host=target.host, port=target.port, network=network)
        return PinnedHttp(target, pinned, context, timeout_s)


def parse_url(text: str) -> Target:
    """The parts of a URL, read in one way only.

    Raises:
        ValueError: it has a user, a backslash, a fragment or anything else that two programs might
            read differently. The message does not repeat it.
    """
    match = _URL.fullmatch(text) if len(text) <= 2048 else None
    if match is None or ".." in match["host"]:
        raise ValueError(
            "an address such as https://hooks.example.org/intramural is needed: ASCII, without a "
            "user, a backslash, a space or a number sign"
        )
    port = int(match["port"] or PORTS[match["scheme"]])
    if not 0 < port < 1 << 16:
        raise ValueError("its port is not from 1 to 65535")
    return Target(
        scheme=match["scheme"],
        host=match["host"].strip("[]").lower(),
        port=port,
        path=match["path"] or "/",
    )
