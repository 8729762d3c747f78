"""Mail: what a relay gets, and what becomes of its refusals."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest

from serve.governance.alerts.channel import DeliveryError
from serve.governance.alerts.mail import Mail
from serve.governance.alerts.pinning import PinnedHost, network_of
from tests.serve.governance.alerts.receivers import outgoing, relaying

PAYLOAD = '{"account":"每日/day:2026-11-29","id":"mail-1","threshold_percent":80,"used":81}'


def mail(port: int, *, network: str = "127.0.0.1", **pinned) -> Mail:
    relay = PinnedHost(host="relay.example.org", port=port, network=network_of(network), **pinned)
    to = ("ops@example.org", "head@example.org")
    return Mail(relay, sender="intramural@example.org", recipients=to, timeout_s=5.0)


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
