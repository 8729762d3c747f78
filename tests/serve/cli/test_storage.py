"""The storage commands: what they print, for people and for programs, and how they end."""

from __future__ import annotations

import json

import pytest

from serve.cli.storage import run_storage
from serve.errors import StartupError
from serve.storage.engines import opened
from serve.storage.places import SqliteFile
from tests.serve.storage.rows import fill


@pytest.fixture
def state(tmp_path):
    """A state folder whose database has rows."""
    folder = tmp_path / "state"
    assert run_storage(["migrate", "--state-dir", str(folder)]) == 0
    place = SqliteFile(path=folder / "intramural.db")
    with opened(place) as engine, engine.begin() as connection:
        fill(connection, 2)
    return folder


def test_a_round_for_people(state, tmp_path, capsys):
    file, other = str(tmp_path / "b.gz"), str(tmp_path / "other")
    assert run_storage(["backup", file, "--state-dir", str(state)]) == 0
    assert run_storage(["restore", file, "--state-dir", other]) == 0
    assert run_storage(["check", "--state-dir", other]) == 0
    assert run_storage(["migrate", "--state-dir", other]) == 0
    told = capsys.readouterr().out
    for words in ("is a backup: 12 rows of sqlite", "ledger", "already"):
        assert words in told


def test_a_round_for_programs(state, tmp_path, capsys):
    capsys.readouterr()
    file, other = str(tmp_path / "b.gz"), str(tmp_path / "other")
    for words in (
        ["backup", file, "--state-dir", str(state)],
        ["migrate", "--state-dir", other],
        ["restore", file, "--state-dir", other],
        ["check", "--state-dir", other],
    ):
        assert run_storage([*words, "--json"]) == 0
    backup, migrated, restored, report = map(json.loads, capsys.readouterr().out.splitlines())
    assert backup == restored
    assert backup["rows"] == report["rows"]
    assert migrated == {"before": None, "after": "0002"}
    assert report["faults"] == []


def test_no_database_is_made_to_look_at(tmp_path):
    for words in (["check"], ["backup", str(tmp_path / "b.gz")]):
        with pytest.raises(StartupError, match=r"is not there\. Name it by --state-dir"):
            run_storage([*words, "--state-dir", str(tmp_path / "none")])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(StartupError, match="No such file"):
        run_storage(["restore", str(tmp_path / "b.gz"), "--state-dir", str(tmp_path)])


def test_faults_are_an_exit_code(tmp_path, capsys):
    SqliteFile(path=tmp_path / "intramural.db").path.touch(mode=0o600)
    assert run_storage(["check", "--state-dir", str(tmp_path)]) == 1
    assert "fault: its tables are of revision none" in capsys.readouterr().out
