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
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from serve.errors import StartupError
from serve.governance.alerts.channel import Channel
from serve.governance.alerts.mail import Mail
from serve.governance.alerts.pinned_table import PinnedTable
from serve.governance.alerts.pinning import PinnedHost, network_of
from serve.governance.alerts.webhook import Webhook
from serve.governance.identity.private_file import read_private
from serve.governance.typed_tables import TypedTable, read_typed

MAX_FILE_BYTES: Final = 1 << 16
MAX_SECRET_BYTES: Final = 4096
MIN_SECRET_BYTES: Final = 32
_ADDRESS = re.compile(r"[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,253}")
_RELAY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")

Percent = Annotated[int, Field(ge=1, le=1000, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=60)]


class WebhookTable(PinnedTable):
    """The table ``[webhook]``."""

    secret_file: Path
    timeout_s: Seconds = 5.0


class MailTable(TypedTable):
    """The table ``[mail]``."""

    relay: str
    address: str | None = None
    sender: str = Field(alias="from")
    to: list[str] = Field(min_length=1, max_length=16)
    timeout_s: Seconds = 10.0


class AlertsFile(TypedTable):
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
    found = read_typed(path, "--alerts-file", AlertsFile, MAX_FILE_BYTES)
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
    http = table.http("webhook", folder, table.timeout_s)
    return Webhook(http, secret=_secret(folder / table.secret_file))


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
