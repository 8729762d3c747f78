"""The webhook: what leaves, where it goes, and what an answer may do."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from serve.governance.alerts.channel import DeliveryError
from serve.governance.alerts.pinned_http import PinnedHttp, Target
from serve.governance.alerts.pinning import PinnedHost, network_of
from serve.governance.alerts.signature import HEADER, signature
from serve.governance.alerts.webhook import DELIVERY_HEADER, Webhook
from tests.serve.governance.alerts.receivers import (
    NAME,
    OK,
    HttpReceiver,
    named_certificate,
    outgoing,
    receiving,
)

SECRET = b"s" * 32
NOW = 1_764_500_000


def webhook(
    port: int,
    *,
    scheme: str = "http",
    context: ssl.SSLContext | None = None,
    network: str = "127.0.0.1",
    timeout_s: float = 5.0,
    **pinned,
) -> Webhook:
    http = PinnedHttp(
        Target(scheme=scheme, host=NAME, port=port, path="/alerts?for=us"),
        PinnedHost(host=NAME, port=port, network=network_of(network), **pinned),
        context,
        timeout_s,
    )
    return Webhook(http, secret=SECRET, clock=lambda: NOW + 0.9)


async def test_a_post_has_the_payload_and_a_signature():
    async with receiving() as receiver:
        await webhook(receiver.port).send(outgoing())
    (posted,) = receiver.posted
    assert posted.target == "POST /alerts?for=us HTTP/1.1"
    assert posted.body == outgoing().payload.encode()
    assert posted.headers["host"] == f"{NAME}:{receiver.port}"
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers[DELIVERY_HEADER] == "webhook-1"
    assert posted.headers[HEADER] == signature(SECRET, posted.body, NOW)
    assert "authorization" not in posted.headers
    assert "cookie" not in posted.headers


async def test_tls_is_for_the_name_at_the_pinned_address(tmp_path):
    server = named_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    async with receiving(context=server) as receiver:
        await webhook(receiver.port, scheme="https", context=trusting).send(outgoing())
        assert len(receiver.posted) == 1


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.example.org"])
async def test_a_certificate_of_another_name_is_refused(tmp_path, name):
    server = named_certificate(tmp_path, name)
    trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    async with receiving(context=server) as receiver:
        with pytest.raises(DeliveryError, match="certificate is not trusted"):
            await webhook(receiver.port, scheme="https", context=trusting).send(outgoing())
        assert receiver.posted == []


async def test_a_certificate_of_nobody_is_refused(tmp_path):
    async with receiving(context=named_certificate(tmp_path)) as receiver:
        stranger = ssl.create_default_context()
        with pytest.raises(DeliveryError, match="certificate is not trusted"):
            await webhook(receiver.port, scheme="https", context=stranger).send(outgoing())


async def test_a_redirect_is_not_followed():
    async with receiving() as elsewhere:
        where = f"http://127.0.0.1:{elsewhere.port}/"
        moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {where}\r\n\r\n".encode()
        async with receiving(moved) as receiver:
            with pytest.raises(DeliveryError, match="the answer was 307"):
                await webhook(receiver.port).send(outgoing())
        assert elsewhere.num_connections == 0


async def test_proxies_and_netrc_of_the_environment_are_not_used(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await webhook(receiver.port).send(outgoing())
        assert (proxy.num_connections, receiver.num_connections) == (0, 1)
        assert "authorization" not in receiver.posted[0].headers


async def test_a_name_that_is_rebound_gets_no_connection():
    async def rebound(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", "169.254.169.254"]

    async with receiving() as receiver:
        hook = webhook(receiver.port, network="127.0.0.0/8", resolve=rebound)
        with pytest.raises(DeliveryError, match="may not be reached"):
            await hook.send(outgoing())
        assert receiver.num_connections == 0


async def test_the_name_is_looked_up_once_and_not_by_the_connection():
    asked = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with receiving() as receiver:
        await webhook(receiver.port, network="127.0.0.0/8", resolve=resolve).send(outgoing())
    assert asked == [NAME]


async def test_a_huge_answer_is_not_read():
    written = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536

    async with receiving(endless) as receiver:
        await webhook(receiver.port).send(outgoing())
    assert written < 16 << 20, "no more than the sockets' buffers took"


async def test_a_huge_head_is_refused():
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: " + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with receiving(endless) as receiver:
        with pytest.raises(DeliveryError, match="the connection failed"):
            await webhook(receiver.port).send(outgoing())


async def test_a_slow_answer_is_given_up():
    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():  # a byte now and then, so that no single read is too slow
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with receiving(slow) as receiver:
        with pytest.raises(DeliveryError, match=r"no answer within 0\.2 s"):
            await webhook(receiver.port, timeout_s=0.2).send(outgoing())


@pytest.mark.parametrize("status", [b"199 X", b"304 Not Modified", b"404 No", b"500 Oops"])
async def test_only_2xx_is_taken(status):
    async with receiving(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n" + OK) as receiver:
        if status.startswith(b"199"):  # an interim answer: the final one counts
            await webhook(receiver.port).send(outgoing())
            return
        with pytest.raises(DeliveryError, match=status[:3].decode()):
            await webhook(receiver.port).send(outgoing())


async def test_nobody_there_and_nonsense():
    async with receiving(b"SSH-2.0-x\r\n\r\n") as receiver:
        port = receiver.port
        with pytest.raises(DeliveryError, match="the connection failed"):
            await webhook(port).send(outgoing())
    with pytest.raises(DeliveryError, match="the connection failed"):
        await webhook(port).send(outgoing())


async def test_a_refusal_does_not_tell_the_url():
    receiver = HttpReceiver()
    with pytest.raises(DeliveryError) as caught:
        await webhook(1).send(outgoing())
    assert "alerts" not in str(caught.value)
    assert NAME not in str(caught.value)
    assert receiver.posted == []
