"""`python -m serve usage`: what it prints, where, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from serve.cli.main import main
from serve.storage.database import Database
from serve.storage.places import SqliteFile
from tests.serve.storage.ledgers import entry, filling

NOVEMBER = ("--from", "2026-11-01", "--to", "2026-11-30")


@pytest.fixture
def folder(database_file, monkeypatch) -> Path:
    async def fill() -> None:
        database = Database(SqliteFile(path=database_file))
        await database.write(filling(entry(), entry(owner="bob", model="=large")))
        await database.close()

    asyncio.run(fill())
    for name in ("INTRAMURAL_STATE_DIR", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return database_file.parent


def usage(folder: Path, *words: str) -> int:
    return main(["usage", "--state-dir", str(folder), *NOVEMBER, *words])


def test_a_table_and_bars(folder, capsys):
    assert usage(folder) == 0
    out = capsys.readouterr().out
    assert "2026-11-28" in out
    assert "3.000002 EUR" in out
    assert "█" in out


def test_json(folder, capsys):
    assert usage(folder, "--json", "--by", "owner,model", "--owner", "bob") == 0
    (row,) = json.loads(capsys.readouterr().out)["data"]
    assert (row["owner"], row["model"], row["requests"]) == ("bob", "=large", 1)


def test_csv(folder, capsysbinary):
    assert usage(folder, "--csv", "--by", "model") == 0
    lines = capsysbinary.readouterr().out.split(b"\r\n")
    assert [line.split(b",")[0] for line in lines[:-1]] == [b"model", b"'=large", b"demo"]


def test_more_groups_than_are_shown_are_told_of(folder, capsys):
    assert usage(folder, "--csv", "--by", "model", "--limit", "1") == 0
    assert "more groups than 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--by", "week"], "--by: group_by names"),
        (["--from", "2027-01-01"], "--from: from is 2027-01-01, which is after to"),
        (["--limit", "0"], "--limit 0: 1 to 100000"),
        (["--owners", "x"], "Did you mean --owner?"),
        (["--json", "--csv"], "not allowed with argument"),
        (["--url", "http://x"], "--state-dir is of a database"),
        (["--all"], "add --url"),
        (["--model", ""], "--model: model has 0 characters"),
    ],
)
def test_what_cannot_be_asked_is_refused(folder, capsys, words, told):
    assert usage(folder, *words) == 2
    assert told in capsys.readouterr().err


def test_without_a_database_it_says_what_to_do(tmp_path, capsys):
    assert usage(tmp_path / "none") == 2
    assert "or ask the server: --url" in capsys.readouterr().err


def test_a_server_that_is_not_there(capsys):
    assert main(["usage", "--url", "http://127.0.0.1:1"]) == 1
    assert "no server answers" in capsys.readouterr().err


def test_tenants_are_asked_for_with_all_only(capsys):
    assert main(["usage", "--url", "http://127.0.0.1:1", "--tenant", "x"]) == 2
    assert "--tenant" in capsys.readouterr().err
