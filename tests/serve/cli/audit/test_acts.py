"""Acts of commands are recorded in a log of their own: that they begin, and how they ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.cli.audit import acts
from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.key_files import read_verifiers


def recorded(folder: Path) -> list[dict]:
    keys = read_verifiers(folder / f"{acts.NAME}.key.pub", "")
    log = LogFolder(folder / acts.NAME, keys)
    records = [json.loads(entry) for _, entry in log.entries()]
    return [record for record in records if record["type"] == "admin"]


def test_an_act_is_recorded_with_what_became_of_it(tmp_path):
    with acts.acting(tmp_path, "audit.erase", {"tenant": "legal"}) as told:
        assert "audit.erase" in str(recorded(tmp_path))
        told["num_subjects"] = 3
    begun, ended = recorded(tmp_path)
    assert "legal" in str(begun)
    assert "done" in str(ended)
    assert "3" in str(ended)


def test_an_act_that_fails_is_recorded_as_failed(tmp_path):
    with pytest.raises(ValueError, match="no"), acts.acting(tmp_path, "audit.prune", {}):
        raise ValueError("no")
    assert "failed" in str(recorded(tmp_path)[-1])


def test_what_cannot_be_recorded_is_not_done_whatever_the_settings_let_pass(tmp_path, monkeypatch):
    monkeypatch.setenv("INTRAMURAL_AUDIT_WHEN_UNAVAILABLE", "pass")
    (tmp_path / acts.NAME).write_text("no folder")
    with pytest.raises(StartupError), acts.acting(tmp_path, "audit.prune", {}):
        pytest.fail("it was done")
