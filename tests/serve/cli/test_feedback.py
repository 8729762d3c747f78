"""The feedback commands: a table, JSON and CSV of the database, and what is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3

import pytest

from serve.cli.feedback import run_feedback
from serve.errors import StartupError
from serve.governance.feedback.book import FeedbackBook
from serve.governance.feedback.feedback import Feedback
from serve.governance.principal import Principal
from serve.governance.sealing import SealingKey
from serve.storage.database import Database
from serve.storage.places import SqliteFile
from tests.serve.storage.ledgers import entry, filling

ANN = Principal(key_id="key-a", name="", tenant="ward", owner="ann")


@pytest.fixture
def folder(database_file, tmp_path):
    """A state folder with feedback on one answer, and the key of its text."""
    key = tmp_path / "feedback.key"
    key.write_text("ab" * 32)
    key.chmod(0o600)

    async def fill() -> None:
        database = Database(SqliteFile(path=database_file))
        await database.write(filling(entry(request_id="req-" + "a" * 32)))
        book = FeedbackBook(database, SealingKey(b"\xab" * 32))
        given = Feedback(score_milli=-500, labels=("slow", "odd"), text="\x1b[31mred")
        await book.give(ANN, "chatcmpl-" + "a" * 32, given)
        await database.close()

    asyncio.run(fill())
    return tmp_path


def run(folder, *words: str) -> int:
    return run_feedback([*words, "--state-dir", str(folder)])


def test_it_is_listed_and_counted_and_forgotten(folder, capsys) -> None:
    assert run(folder, "list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["score"], row["labels"], row["text"]) == (-0.5, ["slow", "odd"], None)
    key = str(folder / "feedback.key")
    assert run(folder, "list", "--csv", "--feedback-key-file", key) == 0
    assert "slow;odd,True,\x1b[31mred" in capsys.readouterr().out
    assert run(folder, "list", "--feedback-key-file", key) == 0
    shown = capsys.readouterr().out
    assert "slow, odd" in shown
    assert "\x1b" not in shown
    assert run(folder, "list") == 0
    assert "(no key named)" in capsys.readouterr().out
    (folder / "feedback.key").write_text("cd" * 32)
    assert run(folder, "list", "--feedback-key-file", key) == 0
    assert "(under another key)" in capsys.readouterr().out
    assert run(folder, "counts", "--model", "demo") == 0
    assert "-0.5" in capsys.readouterr().out
    assert run(folder, "counts", "--csv") == 0
    assert capsys.readouterr().out.split("\r\n")[1] == "demo,,1,0,0,1,1,-0.5"
    assert run(folder, "counts", "--json", "--arm", "blue") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(folder, "forget", "--tenant", "ward", "--owner", "ann") == 0
    assert "deleted 1 piece" in capsys.readouterr().out
    assert run(folder, "list") == 0
    assert "no feedback" in capsys.readouterr().out


def test_what_cannot_be_is_said(folder, tmp_path) -> None:
    with pytest.raises(StartupError, match="--tenant and --owner"):
        run(folder, "forget", "--owner", "ann")
    with pytest.raises(StartupError, match=r"--from: .*2026-11-30"):
        run(folder, "list", "--from", "soon")
    with pytest.raises(StartupError, match=r"has no tables\. Name its folder"):
        run(tmp_path / "none", "list")
    assert not (tmp_path / "none").exists()
    with contextlib.closing(sqlite3.connect(folder / "intramural.db")) as connection:
        connection.execute("UPDATE intramural_version SET version_num = '0001'")
        connection.commit()
    with pytest.raises(StartupError, match=r"of revision 0001, .* storage migrate"):
        run(folder, "list")


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_pages_come_one_by_one_as_one_document(folder, capsys, monkeypatch, form: str) -> None:
    """No page is kept: an export may be larger than memory."""
    entries = []

    async def page(_book, _chosen, *, limit, after):
        entries.append(after)
        (one,), _ = await asked(_book, _chosen, limit=limit, after=None)
        return [one], len(entries) if len(entries) < 3 else None

    asked = FeedbackBook.page
    monkeypatch.setattr(FeedbackBook, "page", page)
    assert run(folder, "list", form) == 0
    told = capsys.readouterr().out
    assert entries == [None, 1, 2]
    assert told.count("req-") == 3
    if form == "--json":
        assert told == json.dumps(json.loads(told), ensure_ascii=False, indent=1) + "\n"
    else:
        assert told.count("created_at") == 1


def test_no_feedback_is_an_empty_list(folder, capsys) -> None:
    assert run(folder, "list", "--json", "--model", "none") == 0
    assert capsys.readouterr().out == "[]\n"
