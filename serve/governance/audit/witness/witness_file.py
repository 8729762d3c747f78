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

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models import plain_file
from serve.errors import StartupError
from serve.governance.alerts.pinned_http import PORTS, PinnedHttp, client_context
from serve.governance.alerts.pinning import PinnedHost, network_of
from serve.governance.alerts.webhook import parse_url
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteVerifier
from serve.governance.audit.witness.client import WitnessClient
from serve.suggestion import near

MAX_FILE_BYTES: Final = 1 << 16
FLAG: Final = "--audit-witness-file"
_WORDS: Final = {"missing": "it is needed and missing"}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WitnessTable(_Table):
    """One table ``[[witness]]``."""

    url: str
    address: str
    key: str
    port: int | None = Field(None, ge=1, le=65535)
    ca_file: Path | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    allow_http: bool = False


class WitnessFile(_Table):
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
    try:
        values = tomllib.loads(plain_file.read_text(path, MAX_FILE_BYTES, may_be_link=True))
    except OSError as error:
        reason = error.strerror or error
        raise StartupError(f"{FLAG} {path} cannot be read: {reason}.") from None
    except (ValueError, RecursionError) as error:
        raise StartupError(f"{FLAG} {path} is not TOML: {error}.") from None
    try:
        found = WitnessFile(**values)
    except ValidationError as error:
        raise StartupError(_explained(path, error)) from None
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
    with _named(f"{label}.key"):
        verifier = NoteVerifier.parse(table.key)
        if verifier.kind != COSIGNATURE:
            raise ValueError("it is a log's key, not a witness's: `audit key generate --witness`")
    with _named(f"{label}.url"):
        target = parse_url(table.url)
    with _named(f"{label}.address"):
        network = network_of(table.address)
    if target.port != (table.port or PORTS[target.scheme]):
        raise ValueError(
            f"{label}.url has port {target.port}, and {label}.port is "
            f"{table.port or f'{PORTS[target.scheme]} where nothing is said'}: make them the same"
        )
    context = client_context(
        target,
        network,
        url=table.url,
        ca_file=table.ca_file and folder / table.ca_file,
        allow_http=table.allow_http,
        table=label,
    )
    pinned = PinnedHost(host=target.host, port=target.port, network=network)
    return WitnessClient(verifier, PinnedHttp(target, pinned, context, table.timeout_s))


@contextmanager
def _named(key: str) -> Iterator[None]:
    """A block whose ValueErrors name the key at fault."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _explained(path: Path, error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        place: tuple[Any, ...] = problem["loc"]
        words = _WORDS.get(problem["type"], problem["msg"])
        if problem["type"] == "extra_forbidden":
            known = WitnessTable if len(place) > 1 else WitnessFile
            words = f"there is no such key.{near(str(place[-1]), list(known.model_fields))}"
        lines.append(f"{FLAG} {path}: {'.'.join(map(str, place))}: {words}")
    return "\n".join(lines)
