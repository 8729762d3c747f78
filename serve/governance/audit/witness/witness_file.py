"""The file of witnesses that a server asks::

    every_s = 60                               # how often, at most; default 60

    [[witness]]
    url = "https://witness.example.org/audit"  # the submission prefix
    address = "10.20.30.40"                    # or a network: the host is never reached elsewhere
    key = "witness.example.org+1b2c3d4e+BA..." # its public key, as `audit key generate` printed it
    ca_file = "/etc/ssl/site-ca.pem"

Addresses are pinned as those of the webhook are (serve/governance/alerts/pinning.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from serve.errors import StartupError
from serve.governance.alerts.pinned_table import PinnedTable
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteVerifier
from serve.governance.audit.witness.client import WitnessClient
from serve.governance.typed_tables import TypedTable, named, read_typed

MAX_FILE_BYTES: Final = 1 << 16
FLAG: Final = "--audit-witness-file"


class WitnessTable(PinnedTable):
    """One table ``[[witness]]``."""

    key: str
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0


class WitnessFile(TypedTable):
    """The whole file."""

    every_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    witness: list[WitnessTable] = Field(min_length=1, max_length=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnesses:
    """The witnesses of a file.

    Attributes:
        every_s: seconds between two checkpoints that are submitted, or more.
    """

    clients: tuple[WitnessClient, ...]
    every_s: float


def load(path: Path) -> Witnesses:
    """The witnesses that a file names.

    Raises:
        StartupError: it cannot be read, or something in it is wrong; with the file and the key.
    """
    found = read_typed(path, FLAG, WitnessFile, MAX_FILE_BYTES)
    try:
        clients = tuple(
            _client(path.parent, table, number) for number, table in enumerate(found.witness)
        )
    except ValueError as error:
        raise StartupError(f"{FLAG} {path}: {error}.") from None
    names = [client.name for client in clients]
    if twice := [name for name in names if names.count(name) > 1]:
        raise StartupError(f"{FLAG} {path}: {twice[0]} stands there twice.")
    return Witnesses(clients=clients, every_s=found.every_s)


def _client(folder: Path, table: WitnessTable, number: int) -> WitnessClient:
    label = f"witness.{number}"
    with named(f"{label}.key"):
        verifier = NoteVerifier.parse(table.key)
        if verifier.kind != COSIGNATURE:
            raise ValueError("it is a log's key, not a witness's: `audit key generate --witness`")
    return WitnessClient(verifier, table.http(label, folder, table.timeout_s))
