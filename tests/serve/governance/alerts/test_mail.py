"""Mail: what a relay gets, and what becomes of its refusals."""

from __future__ import annotations

import asyncio
import threading
from email import message_from_bytes, policy
from typing import Any

import pytest

from serve.governance.alerts.channel import DeliveryError
from serve.governance.alerts.mail import Mail
from serve.governance.alerts.pinning import PinnedHost, network_of
from tests.serve.governance.alerts.receivers import outgoing, relaying

PAYLOAD = '{"account":"每日/day:2026-11-29","id":"mail-1","threshold_percent":80,"used":81}'


def mail(port: int, *, network: str = "127.0.0.1", timeout_s: float = 5.0, **pinned: Any) -> Mail:
    relay = PinnedHost(host="relay.example.org", port=port, network=network_of(network), **pinned)
    to = ("ops@example.org", "head@example.org")
    return Mail(relay, sender="intramural@example.org", recipients=to, timeout_s=timeout_s)


async def test_a_mail_has_the_numbers():
    async with relaying() as relay:
        await mail(relay.port).send(outgoing(PAYLOAD))
    (raw,) = relay.mails
    found = message_from_bytes(raw.removesuffix(b".\r\n"), policy=policy.default)
    assert found["Subject"] == "80 % of a budget is used: 每日/day:2026-11-29"
    assert found["Message-ID"] == "<webhook-1@example.org>", "the same at each try"
    assert found["Auto-Submitted"] == "auto-generated"
    assert relay.recipients == ["<ops@example.org>", "<head@example.org>"]
    lines = found.get_content().splitlines()
    assert lines == [
        "account: 每日/day:2026-11-29",
        "id: mail-1",
        "threshold_percent: 80",
        "used: 81",
    ]


async def test_nobody_took_it():
    async with relaying("550 no such user") as relay:
        with pytest.raises(DeliveryError, match="SMTPRecipientsRefused"):
            await mail(relay.port).send(outgoing(PAYLOAD))
        port = relay.port
    with pytest.raises(DeliveryError, match="ConnectionRefusedError"):
        await mail(port).send(outgoing(PAYLOAD))


async def test_a_relay_elsewhere_is_not_reached():
    async def rebound(_host: str, _port: int) -> list[str]:
        return ["203.0.113.25"]

    with pytest.raises(DeliveryError, match="may not be reached"):
        await mail(25, network="10.0.0.0/8", resolve=rebound).send(outgoing(PAYLOAD))


async def test_a_relay_that_says_nothing_is_given_up_and_holds_no_thread():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DeliveryError, match=r"within 0\.2 s"):
            await mail(port, timeout_s=0.2).send(outgoing(PAYLOAD))
    await asyncio.get_running_loop().shutdown_default_executor()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]
