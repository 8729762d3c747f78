"""Acts by command: recorded before they are done, with their end; and none without a record."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from serve.cli.feedback import run_feedback
from serve.cli.keys import run_keys
from serve.cli.storage import run_storage
from serve.composition.audit_acts import acting, acting_in_turn
from serve.config import Config
from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.key_files import read_verifiers


def records_of(folder: Path) -> list[dict[str, Any]]:
    verifiers = read_verifiers(folder / "cli.key.pub")
    entries = LogFolder(folder / "cli", verifiers).entries()
    return [json.loads(entry) for _, entry in entries]


async def test_an_act_begins_and_ends(tmp_path: Path) -> None:
    config = Config(audit_dir=tmp_path)
    async with acting(config, "keys.create", {"name": "x", "owner": None}) as told:
        assert [record["phase"] for record in records_of(tmp_path)] == ["begin"]
        told["key"] = "k1"
    with pytest.raises(KeyError):
        async with acting(config, "keys.revoke", {}):
            raise KeyError("no such key")
    first, done, _, failed = records_of(tmp_path)
    assert (first["act"], first["details"]) == ("keys.create", {"name": "x"})
    assert (done["outcome"], done["details"]) == ("done", {"key": "k1"})
    assert failed["outcome"] == "failed"
    assert first["who"]["uid"] == os.getuid()


async def test_without_a_log_nothing_is_written() -> None:
    async with acting(Config(), "keys.create", {}):
        pass
    with acting_in_turn_nothing():
        pass


def acting_in_turn_nothing() -> Any:
    return acting_in_turn(Config(), "storage.migrate", {})


async def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "cli").write_text("in the way")
    is_done = False
    with pytest.raises(StartupError, match="so it is not done"):
        async with acting(Config(audit_dir=tmp_path), "keys.create", {}):
            is_done = True
    assert not is_done
    async with acting(Config(audit_dir=tmp_path, audit_when_unavailable="pass"), "keys.create", {}):
        is_done = True
    assert is_done


def test_commands_that_change_something_are_acts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INTRAMURAL_AUDIT_DIR", str(tmp_path / "audit"))
    monkeypatch.setenv("INTRAMURAL_STATE_DIR", str(tmp_path))
    file = ["--file", str(tmp_path / "keys.json")]
    whose = ["--tenant", "ward", "--owner", "ann"]
    assert run_keys(["create", "--name", "x", *file]) == 0
    secret = capsys.readouterr().out.strip()
    key_id = secret.removeprefix("sk-").partition(".")[0]
    assert run_keys(["list", *file]) == 0
    assert run_keys(["revoke", key_id, *file]) == 0
    assert run_storage(["migrate"]) == 0
    assert run_feedback(["forget", *whose]) == 0
    records = records_of(tmp_path / "audit")
    assert [(each["act"], each["phase"]) for each in records] == [
        (act, phase)
        for act in ("keys.create", "keys.revoke", "storage.migrate", "feedback.forget")
        for phase in ("begin", "end")
    ]
    assert records[1]["details"] == {"key": key_id}
    assert (records[6]["details"]["owner"], records[7]["details"]["deleted"]) == ("ann", 0)
    assert secret not in json.dumps(records)


def test_keys_are_acts_also_where_a_file_of_settings_names_the_log(tmp_path: Path) -> None:
    settings = tmp_path / "server.toml"
    settings.write_text(
        f'audit_dir = "{tmp_path}/audit"\napi_key_file = "{tmp_path}/keys.json"\n', "utf-8"
    )
    assert run_keys(["create", "--config", str(settings)]) == 0
    assert (tmp_path / "keys.json").exists()
    assert [each["act"] for each in records_of(tmp_path / "audit")] == ["keys.create"] * 2
