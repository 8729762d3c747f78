from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serve.doctor import keys
from serve.governance.identity.key_changes import NewKey, made
from serve.governance.identity.keys import change, create, list_keys, revoke
from tests.serve.doctor.machines import machine
from tests.serve.governance.token_makers import jwks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "keys.json"


def test_no_keys_are_fine_on_loopback_only(tmp_path: Path) -> None:
    assert keys.keys(machine(tmp_path)).level == "skipped"
    found = keys.keys(machine(tmp_path, host="0.0.0.0"))
    assert found.level == "failure"
    assert "keys create" in found.advice


def test_a_key_that_lets_somebody_in_is_fine(tmp_path: Path, file: Path) -> None:
    create(file)
    found = keys.keys(machine(tmp_path, api_key_file=file))
    assert (found.level, found.summary) == ("ok", "1 keys are enabled, 0 are not.")


def test_a_file_for_others_is_a_failure(tmp_path: Path, file: Path) -> None:
    create(file)
    file.chmod(0o644)
    found = keys.keys(machine(tmp_path, api_key_file=file))
    assert found.level == "failure"
    assert f"chmod 600 {file}" in found.advice


def test_a_folder_for_others_is_a_failure(tmp_path: Path, file: Path) -> None:
    create(file)
    file.parent.chmod(0o777)
    found = keys.keys(machine(tmp_path, api_key_file=file))
    assert found.level == "failure"
    assert f"chmod o-w {file.parent}" in found.advice


def test_keys_that_let_nobody_in_are_a_failure(tmp_path: Path, file: Path) -> None:
    create(file)
    create(file, expires_at=datetime.now(UTC) - timedelta(days=1))
    revoke(file, list_keys(file)[0].key_id)
    assert "None of the 2 keys" in keys.keys(machine(tmp_path, api_key_file=file)).summary


def test_a_key_that_expires_soon_is_named(tmp_path: Path, file: Path) -> None:
    create(file, name="ward-3", expires_at=datetime.now(UTC) + timedelta(days=9))
    create(file, expires_at=datetime.now(UTC) + timedelta(days=90))
    found = keys.keys(machine(tmp_path, api_key_file=file))
    assert found.level == "warning"
    assert "1 of 2" in found.summary
    assert "ward-3" in found.summary


def test_a_missing_file_is_a_failure(tmp_path: Path, file: Path) -> None:
    assert keys.keys(machine(tmp_path, api_key_file=file)).level == "failure"


def test_a_taken_address_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = keys.address(machine(tmp_path, port=taken.getsockname()[1]))
    assert found.level == "failure"
    assert "--port" in found.advice
    assert keys.address(machine(tmp_path, port=0)).level == "ok"


def test_the_providers_file_and_the_pepper_are_read(tmp_path: Path) -> None:
    jwt_file, pepper = tmp_path / "jwt.toml", tmp_path / "pepper"
    jwt_file.write_text(
        'issuer = "https://a"\naudience = "a"\nalgorithms = ["RS256"]\njwks_file = "jwks.json"\n'
        'tenant = "site"\n'
    )
    assert "JWKS file" in keys.keys(machine(tmp_path, jwt_file=jwt_file)).summary
    (tmp_path / "jwks.json").write_bytes(jwks())
    assert keys.keys(machine(tmp_path, jwt_file=jwt_file)).level == "ok"
    file = tmp_path / "keys.json"
    create(file)
    found = keys.keys(machine(tmp_path, api_key_file=file, key_pepper_file=pepper))
    assert (found.level, "Pepper file" in found.summary) == ("failure", True)
    assert "list --database" in keys.keys(machine(tmp_path, api_keys="database")).summary


def test_limits_that_nobody_would_count_are_a_failure(tmp_path: Path, file: Path) -> None:
    entry, _ = made(NewKey(name="a", limits={"tokens_per_day": 5}), None)
    change(file, lambda known: (*known, entry), None, may_be_new=True)
    found = keys.keys(machine(tmp_path, api_key_file=file))
    assert found.level == "failure"
    assert found.advice == "Start with --usage-ledger or --limits-file, or take the limits away."
    assert keys.keys(machine(tmp_path, api_key_file=file, usage_ledger=True)).level == "ok"
