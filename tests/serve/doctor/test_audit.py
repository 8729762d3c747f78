"""The audit log as `doctor` sees it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from serve.doctor.audit import audit
from tests.serve.doctor.machines import machine
from tests.serve.governance.audit.content.secrets_of import key_file


def free(bytes_free: int) -> Any:
    return lambda _folder: shutil._ntuple_diskusage(1 << 40, 0, bytes_free)  # type: ignore[attr-defined]


def test_without_a_folder_it_is_skipped(tmp_path: Path) -> None:
    assert audit(machine(tmp_path)).level == "skipped"


@pytest.mark.parametrize(
    ("num_bytes", "level"), [(1 << 40, "ok"), (1 << 30, "warning"), (1 << 20, "failure")]
)
def test_the_room_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_bytes: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", free(num_bytes))
    assert audit(machine(tmp_path, audit_dir=tmp_path / "a" / "b")).level == level


def test_a_server_that_lets_pass_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", free(1 << 40))
    found = audit(machine(tmp_path, audit_dir=tmp_path, audit_when_unavailable="pass"))
    assert (found.level, "pass" in found.summary) == ("warning", True)


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    keys = key_file(tmp_path)
    keys.chmod(0o644)
    found = audit(
        machine(tmp_path, audit_dir=tmp_path, audit_level="full", audit_content_key_file=keys)
    )
    assert (found.level, "chmod 600" in f"{found.summary} {found.advice}") == ("failure", True)
    # A level that keeps no contents does not read it, as a server does not.
    assert audit(machine(tmp_path, audit_dir=tmp_path, audit_content_key_file=keys)).level == "ok"
    found = audit(machine(tmp_path, audit_dir=tmp_path, audit_key_file=tmp_path / "none"))
    assert found.level == "failure"


def test_a_folder_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = audit(machine(tmp_path, audit_dir=tmp_path))
    assert (found.level, "cannot be written" in found.summary) == ("failure", True)


def test_files_of_witnesses_and_holds_are_read(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("foo = 1\n")
    for setting in ("audit_witness_file", "audit_holds_file"):
        found = audit(machine(tmp_path, audit_dir=tmp_path, **{setting: tmp_path / "wrong.toml"}))
        assert (found.level, "foo: there is no such key" in found.summary) == ("failure", True)
    assert "No witness is named" in audit(machine(tmp_path, audit_dir=tmp_path)).summary
