"""Connections over TLS: their bounds hold, and certificates are exchanged under load."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket

import orjson
import pytest

from serve.api.http import connection, tls
from serve.governance.identity import keys
from tests.serve.api.house import chat, house, is_free, pipeline_of, running, until
from tests.serve.api.http.test_server import post, statuses
from tests.serve.api.http.tls_site import (
    GET,
    LAST,
    PATIENCE_S,
    Site,
    exchange,
    on_uvloop,
    plain,
    served,
)

NUM_EXCHANGES = 20


@on_uvloop
async def test_requests_are_answered_in_their_order(site: Site) -> None:
    async with served(house(**site.files)) as port:
        client = site.authority.client()
        assert statuses(await exchange(port, client, GET * 5 + LAST)) == [200] * 6
        body = orjson.dumps(chat(max_tokens=4))
        answer = await exchange(port, client, post(body))
        assert statuses(answer) == [200]
        large = await exchange(port, client, GET * 2000 + LAST)
        assert statuses(large) == [200] * 2001


async def count_events(stream: asyncio.StreamReader) -> int:
    """Events of a stream until its end."""
    num_events = 0
    with contextlib.suppress(ConnectionError):
        while line := await stream.readline():
            num_events += line.startswith(b"data: {")
    return num_events


@on_uvloop
async def test_an_exchange_of_certificates_under_load_loses_no_request(
    site: Site, monkeypatch: pytest.MonkeyPatch, is_proving: bool
) -> None:
    """Certificate and key are replaced one after the other: between them they are no pair."""
    monkeypatch.setattr(tls, "LOOK_INTERVAL_S", 0.0)
    pipeline = pipeline_of(tokens_per_s=200, script=[5] * 50_000, max_model_len=65_536)
    home = house(pipeline, **site.files)
    files = home.encryption.files
    assert files is not None
    num_exchanges = 1000 if is_proving else NUM_EXCHANGES
    is_over = False
    sent, answered, served_by = 0, 0, set()

    async def ask(port: int) -> None:
        nonlocal sent, answered
        client = site.authority.client()
        while not is_over:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client, server_hostname="127.0.0.1"
            )
            shown = writer.get_extra_info("ssl_object").getpeercert()
            served_by.add(shown["serialNumber"])
            for _ in range(3):
                sent += 1
                writer.write(GET)
                answer = await reader.readuntil(b"}")
                answered += statuses(answer) == [200]
            writer.close()

    async with served(home) as port:
        stream, long = await asyncio.open_connection(
            "127.0.0.1", port, ssl=site.authority.client(), server_hostname="127.0.0.1"
        )
        long.write(post(orjson.dumps(chat(stream=True, max_tokens=50_000))))
        reading = asyncio.create_task(count_events(stream))
        askers = [asyncio.create_task(ask(port)) for _ in range(4)]
        for number in range(num_exchanges):
            before, was = sent, len(served_by)
            issued = site.authority.issue(f"exchange-{number}")
            for path, source in zip(
                site.files.values(), (issued.chain, issued.secret), strict=True
            ):
                path.write_bytes(source.read_bytes())
                await until(lambda before=before: sent > before + 6)  # type: ignore[misc]
                before = sent
            await until(lambda was=was: len(served_by) > was)  # type: ignore[misc]
        is_over = True
        await asyncio.gather(*askers)
        assert not reading.done(), "a stream runs on by the certificate that it began with"
        long.transport.abort()
        assert await reading > num_exchanges
        await until(lambda: is_free(pipeline))
    assert sent == answered > num_exchanges * 12
    assert len(served_by) == num_exchanges + 1
    assert files.is_in_force


# Bounds


@on_uvloop
async def test_a_handshake_that_does_not_come_to_its_end_is_closed(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(house(**site.files, receive_timeout_s=0.1)) as port:
        begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        assert await asyncio.gather(plain(port, b""), plain(port, begun)) == [b"", b""]
        assert statuses(await exchange(port, site.authority.client(), LAST)) == [200]
    assert caplog.records == []


@on_uvloop
async def test_what_is_no_tls_is_closed_and_fills_no_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    home = house(**site.files)
    async with served(home) as port:
        for sent in (
            LAST,
            b"\x00" * 4000,
            b"SSH-2.0-x\r\n",
            GET * 3000,
            post(b"x" * 2_000_000),
        ):
            assert b"HTTP/1.1" not in await plain(port, sent)
        assert home.encryption.files is not None
        assert home.encryption.files.num_refused == 5
        assert statuses(await exchange(port, site.authority.client(), LAST)) == [200]
    assert [record for record in caplog.records if record.name != "asyncio"] == []


@on_uvloop
async def test_headers_and_bodies_that_do_not_come_are_given_up(site: Site) -> None:
    home = house(**site.files, receive_timeout_s=0.1)
    client = site.authority.client()
    async with served(home) as port:
        for sent, expected in (
            (GET[:20], [408]),
            (post(b'{"model"', length=500), [408]),
            (b"", []),
        ):
            assert statuses(await exchange(port, client, sent)) == expected
    assert is_free(home.pipeline)


@on_uvloop
async def test_an_answer_before_the_body_s_end_is_read_and_who_sends_on_is_cut_off(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.create(site.folder / "keys.json")
    client = site.authority.client()
    sent = post(b"", length=3_000_000).replace(b"Connection: close\r\n", b"") + b" " * 3_000_000
    async with served(house(keys=site.folder / "keys.json", **site.files)) as port:
        assert statuses(await exchange(port, client, sent)) == [401]
        monkeypatch.setattr(connection, "LINGER_BYTES", 1 << 20)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="127.0.0.1"
        )
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            while not writer.transport.is_closing():
                writer.write(b" " * 65_536)
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    await writer.drain()
                await asyncio.sleep(0)


@on_uvloop
async def test_a_client_that_does_not_read_loses_its_slot(site: Site) -> None:
    pipeline = pipeline_of(script=[5] * 100, max_model_len=200_000)
    home = house(pipeline, **site.files)
    body = orjson.dumps(chat(stream=True, logprobs=True, top_logprobs=20, max_tokens=150_000))
    async with running(home, stalled_reader_s=0.2) as (server, _):
        _, writer = await asyncio.open_connection(
            "127.0.0.1",
            server.port,
            ssl=site.authority.client(),
            server_hostname="127.0.0.1",
            limit=1,
        )
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post(body))
        await until(lambda: pipeline.num_admitted == 1)
        (ours,) = server.server_state.connections
        _, high = ours._socket.get_write_buffer_limits()  # type: ignore[union-attr]
        assert high == connection.UNTAKEN_BYTES
        await until(lambda: len(home.records.all) == 1)
        assert is_free(pipeline)
        assert home.records.last.is_disconnected
        writer.transport.abort()


def in_order(writer: asyncio.StreamWriter) -> None:
    writer.close()


def without_a_word(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def half_way(writer: asyncio.StreamWriter) -> None:
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as same:
        same.shutdown(socket.SHUT_WR)


@on_uvloop
async def test_who_leaves_frees_the_slot(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "AHEAD_S", 0.01)
    pipeline = pipeline_of(tokens_per_s=5, script=[5] * 400)
    home = house(pipeline, **site.files)
    request = post(orjson.dumps(chat(stream=True, max_tokens=400)))
    cases = itertools.product((in_order, without_a_word, half_way), (b"", GET * 5000))
    async with served(home) as port:
        for number, (leave, behind) in enumerate(cases, start=1):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=site.authority.client(), server_hostname="127.0.0.1"
            )
            writer.write(request.replace(b"Connection: close\r\n", b""))
            await until(lambda: pipeline.engine.load().num_running == 1)
            writer.write(behind)
            await writer.drain()
            leave(writer)
            await until(lambda number=number: len(home.records.all) == number)  # type: ignore[misc]
            assert is_free(pipeline), (leave, behind[:9])
            assert home.records.last.is_disconnected
            writer.transport.abort()


@on_uvloop
async def test_an_end_waits_for_no_handshake(site: Site) -> None:
    async with running(house(**site.files)) as (server, _):
        silent = socket.create_connection(("127.0.0.1", server.port))
        assert statuses(await exchange(server.port, site.authority.client(), LAST)) == [200]
        server.stop(grace_s=0.05)
    silent.close()


def test_metrics_tell_of_the_certificate(site: Site) -> None:
    home = house(**site.files)
    text = home.metrics.render()[0].decode()
    assert "intramural_tls_files_usable 1.0" in text
    life = {
        line.split()[0].rpartition("_certificate_")[2]: float(line.split()[1])
        for line in text.splitlines()
        if line.startswith("intramural_tls_certificate")
    }
    assert life["not_after"] - life["not_before"] == pytest.approx(366 * 24 * 3600, abs=7200 * 12)
    assert "intramural_tls" not in "".join(
        line
        for line in house().metrics.render()[0].decode().splitlines()
        if not line.startswith("#")
    )
