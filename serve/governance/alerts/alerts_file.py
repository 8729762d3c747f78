"""The alerts file: at which thresholds of budgets somebody is told, and how.

::

    thresholds = [50, 80, 100]           # percent of a budget

    [webhook]
    url = "https://hooks.example.org/intramural"
    address = "10.20.30.40"              # or a network: the host is never reached elsewhere
    secret_file = "/run/secrets/alerts"  # signs what is sent
    ca_file = "/etc/ssl/site-ca.pem"

    [mail]
    relay = "127.0.0.1:25"
    from = "intramural@example.org"
    to = ["operators@example.org"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models import plain_file
from serve.errors import StartupError
from serve.governance.alerts.channel import Channel
from serve.governance.alerts.mail import Mail
from serve.governance.alerts.pinned_http import PORTS, client_context
from serve.governance.alerts.pinning import PinnedHost, network_of
from serve.governance.alerts.webhook import Webhook, parse_url
from serve.governance.identity.private_file import read_private
from serve.suggestion import near

MAX_FILE_BYTES: Final = 1 << 16
MAX_SECRET_BYTES: Final = 4096
MIN_SECRET_BYTES: Final = 32
_ADDRESS = re.compile(r"[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,253}")
_RELAY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")

_WORDS: Final = {"missing": "it is needed and missing", "extra_forbidden": "there is no such key"}
"""Words for faults, by the validator's names for them."""

Percent = Annotated[int, Field(ge=1, le=1000, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=60)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookTable(_Table):
    """The table ``[webhook]``."""

    url: str
    address: str
    port: int | None = Field(None, ge=1, le=65535)
    secret_file: Path
    ca_file: Path | None = None
    timeout_s: Seconds = 5.0
    allow_http: bool = False


class MailTable(_Table):
    """The table ``[mail]``."""

    relay: str
    address: str | None = None
    sender: str = Field(alias="from")
    to: list[str] = Field(min_length=1, max_length=16)
    timeout_s: Seconds = 10.0


class AlertsFile(_Table):
    """The whole file. Thresholds are percent of a budget; above 100 they are for observed ones."""

    thresholds: list[Percent] = Field(min_length=1, max_length=16)
    webhook: WebhookTable | None = None
    mail: MailTable | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the ways that are set, as the outbox has them."""
        set_up = {"webhook": self.webhook, "mail": self.mail}
        return tuple(name for name, table in set_up.items() if table is not None)


def load(path: Path) -> AlertsFile:
    """The file's content; files that it names are not opened yet.

    Raises:
        StartupError: it cannot be read, or something in it is wrong; with the file and the key.
    """
    try:
        values = tomllib.loads(plain_file.read_text(path, MAX_FILE_BYTES, may_be_link=True))
    except OSError as error:
        reason = error.strerror or error
        raise StartupError(f"--alerts-file {path} cannot be read: {reason}.") from None
    except (ValueError, RecursionError) as error:
        raise StartupError(f"--alerts-file {path} is not TOML: {error}.") from None
    try:
        found = AlertsFile(**values)
    except ValidationError as error:
        raise StartupError(_explained(path, error)) from None
    if not found.channels:
        raise StartupError(
            f"--alerts-file {path} has no [webhook] and no [mail]: nobody would be told."
        )
    return found


def channels_of(path: Path, file: AlertsFile) -> dict[str, Channel]:
    """The ways out, with their secrets and certificates read; relative paths are the file's.

    Raises:
        StartupError: an address, a name or a file that it names cannot be used.
    """
    found: dict[str, Channel] = {}
    try:
        if file.webhook is not None:
            found["webhook"] = _webhook(path.parent, file.webhook)
        if file.mail is not None:
            found["mail"] = _mail(file.mail)
    except ValueError as error:
        raise StartupError(f"--alerts-file {path}: {error}.") from None
    return found


def _webhook(folder: Path, table: WebhookTable) -> Webhook:
    with _named("webhook.url"):
        target = parse_url(table.url)
    with _named("webhook.address"):
        network = network_of(table.address)
    expected = table.port or PORTS[target.scheme]
    if target.port != expected:
        raise ValueError(
            f"webhook.url has port {target.port}: say so with port = {target.port}, too, or take "
            f"{expected}"
        )
    context = client_context(
        target,
        network,
        url=table.url,
        ca_file=table.ca_file and folder / table.ca_file,
        allow_http=table.allow_http,
        table="webhook",
    )
    return Webhook(
        target,
        PinnedHost(host=target.host, port=target.port, network=network),
        context=context,
        secret=_secret(folder / table.secret_file),
        timeout_s=table.timeout_s,
    )


def _secret(path: Path) -> bytes:
    """The secret that signs. Raises StartupError where others may read it, or it is short."""
    make = f"Make one: openssl rand -hex 32 > {path}"
    text = read_private(path, "webhook.secret_file", MAX_SECRET_BYTES, if_missing=make)
    raw = text.strip().encode()
    if len(raw) < MIN_SECRET_BYTES:
        raise ValueError(
            f"webhook.secret_file {path} has {len(raw)} bytes: at least {MIN_SECRET_BYTES} are "
            f"needed. {make}"
        )
    return raw


def _mail(table: MailTable) -> Mail:
    match = _RELAY.fullmatch(table.relay)
    if match is None or not 0 < int(match["port"]) < 1 << 16:
        raise ValueError("mail.relay: a host and a port are needed, such as 127.0.0.1:25")
    for name, addresses in (("from", [table.sender]), ("to", table.to)):
        for address in addresses:
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f"mail.{name}: {address[:80]!r} is not a plain mail address")
    host = match["v6"] or match["host"]
    try:
        network = network_of(table.address or host)
    except ValueError as error:
        raise ValueError(
            f"mail.address: {error}. It pins the relay where mail.relay has a name"
        ) from None
    if network.is_global:
        name = "mail.address" if table.address else "mail.relay"
        raise ValueError(
            f"{name} is {network}, which is not private: the relay is one of the site's own"
        )
    return Mail(
        PinnedHost(host=host, port=int(match["port"]), network=network),
        sender=table.sender,
        recipients=table.to,
        timeout_s=table.timeout_s,
    )


@contextmanager
def _named(key: str) -> Iterator[None]:
    """A block whose ValueErrors name the key at fault."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _explained(path: Path, error: ValidationError) -> str:
    """The faults of the file, a line each. Values are not repeated: they may be secrets."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in problem["loc"])
        hint = ""
        if problem["type"] == "extra_forbidden":
            hint = near(str(problem["loc"][-1]), _keys(problem["loc"]))
        words = _WORDS.get(problem["type"], problem["msg"])
        lines.append(f"--alerts-file {path}: {place}: {words}.{hint}")
    return "\n".join(lines)


def _keys(place: tuple[Any, ...]) -> list[str]:
    tables: dict[Any, type[_Table]] = {"webhook": WebhookTable, "mail": MailTable}
    table = tables.get(place[0], AlertsFile) if len(place) > 1 else AlertsFile
    return [field.alias or name for name, field in table.model_fields.items()]
