"""Reports of a database and of a server are the same, all pages of them."""

from __future__ import annotations

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from serve.cli.chat.server import AskError, Server
from serve.cli.usage import sources
from serve.config import Config
from serve.errors import StartupError
from serve.governance.usage.query import parse_query
from serve.governance.usage.reports import UsageReports
from serve.storage.database import Database
from serve.storage.places import FILE_NAME, SqliteFile
from tests.serve.storage.ledgers import entry, filling

ASKED = {"from": "2026-11-01", "to": "2026-11-30", "group_by": "model,owner"}
QUERY, _ = parse_query(ASKED.items(), is_admin=True)


@pytest.fixture
async def config(database_file) -> Config:
    database = Database(SqliteFile(path=database_file))
    rows = [
        entry(
            model=f"m{number}",
            owner=owner,
            currency=currency,
            cost_micros=number if currency else 0,
        )
        for number in range(12)
        for owner, currency in (("ann", "EUR"), ("bob", "CNY"), ("eve", ""))
    ]
    await database.write(filling(*rows))
    await database.close()
    return Config(state_dir=database_file.parent)


def answering(config: Config, asked: list[dict[str, str]]) -> httpx.MockTransport:
    """A server that reports the database."""

    async def report(params: dict[str, str]) -> Any:
        database = Database(SqliteFile(path=config.state_dir / FILE_NAME))
        query, _ = parse_query(params.items(), is_admin=True)
        try:
            return (await UsageReports(database, ZoneInfo("UTC")).everyone(query)).as_json()
        finally:
            await database.close()

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append({"path": request.url.path, **dict(request.url.params)})
        # The client is synchronous: another loop, on another thread.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(asyncio.run, report(dict(request.url.params))).result()
        return httpx.Response(200, json=found)

    return httpx.MockTransport(handle)


async def test_a_server_reports_what_its_database_has(config, monkeypatch):
    monkeypatch.setattr(sources, "MAX_GROUPS", 10)
    direct = await sources.from_database(config, QUERY, limit=1000)
    asked: list[dict[str, str]] = []
    with Server("http://server", None, transport=answering(config, asked)) as server:
        told = await sources.from_server(server, ASKED, QUERY, path=sources.EVERYONE, limit=1000)
    assert told.groups == direct.groups
    assert len(told.groups) == 36
    assert told.as_json() == direct.as_json()
    assert [each["limit"] for each in asked] == ["10"] * 4
    assert {each["path"] for each in asked} == {"/admin/usage"}


async def test_no_more_groups_than_asked_for(config, monkeypatch):
    monkeypatch.setattr(sources, "MAX_GROUPS", 10)
    report = await sources.from_database(config, QUERY, limit=15)
    assert len(report.groups) == 15
    assert report.next is not None


async def test_where_there_is_no_database_none_is_made(tmp_path):
    with pytest.raises(StartupError, match="has no ledger"):
        await sources.from_database(Config(state_dir=tmp_path / "none"), QUERY, limit=1)
    assert not (tmp_path / "none").exists()


async def test_a_database_without_tables_has_no_ledger(tmp_path):
    (tmp_path / FILE_NAME).touch(0o600)
    with pytest.raises(StartupError, match="has no ledger"):
        await sources.from_database(Config(state_dir=tmp_path), QUERY, limit=1)


@pytest.mark.parametrize("answer", [{"object": "list"}, [], "x", {"object": "usage"}])
async def test_an_answer_of_something_else_is_refused(answer):
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=answer))
    refusal = pytest.raises(AskError, match="not with a report of usage")
    with Server("http://server", None, transport=transport) as server, refusal:
        await sources.from_server(server, ASKED, QUERY, path=sources.OWN, limit=1)


async def test_a_refusal_is_told():
    error = {"error": {"message": "This needs the scope 'admin'.", "code": "forbidden"}}
    transport = httpx.MockTransport(lambda _request: httpx.Response(403, json=error))
    refusal = pytest.raises(AskError, match="403: This needs the scope")
    with Server("http://server", None, transport=transport) as server, refusal:
        await sources.from_server(server, ASKED, QUERY, path=sources.OWN, limit=1)
