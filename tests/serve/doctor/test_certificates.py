"""The certificate before a start: what the doctor says of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serve.doctor.certificates import certificates
from tests.certificates import Authority, Issued
from tests.serve.doctor.machines import machine


def settings(issued: Issued, **more: Any) -> dict[str, Any]:
    return {"ssl_certfile": issued.chain, "ssl_keyfile": issued.secret, **more}


def test_plain_http_is_skipped_with_its_reason(tmp_path: Path) -> None:
    assert "on loopback only" in certificates(machine(tmp_path)).summary
    behind = certificates(machine(tmp_path, behind_proxy=True))
    assert (behind.level, "--behind-proxy" in behind.summary) == ("skipped", True)


@pytest.mark.parametrize(("days", "level"), [(300, "ok"), (5, "warning")])
def test_names_and_end_are_told(tmp_path: Path, days: int, level: str) -> None:
    life = {"begins": timedelta(days=-300), "ends": timedelta(days=days, hours=1)}
    issued = Authority(tmp_path).issue(**life)  # type: ignore[arg-type]
    found = certificates(machine(tmp_path, **settings(issued)))
    assert found.level == level
    assert found.summary.startswith(f"For 127.0.0.1; it ends in {days} days, on 2")


def test_a_certificate_without_names_is_of_no_use(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue(names=[])
    found = certificates(machine(tmp_path, **settings(issued)))
    assert (found.level, "subjectAltName" in found.advice) == ("warning", True)


def test_what_a_start_would_refuse_is_a_failure_with_advice(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued, other = authority.issue(), authority.issue()
    pair = {"ssl_certfile": issued.chain, "ssl_keyfile": other.secret}
    found = certificates(machine(tmp_path, **pair))
    assert (found.level, "is not the key of" in found.summary) == ("failure", True)
    assert found.advice
    issued.secret.chmod(0o644)
    found = certificates(machine(tmp_path, **settings(issued)))
    assert (found.level, "chmod 600" in found.advice) == ("failure", True)


def test_clients_are_counted_and_a_wrong_map_is_a_failure(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = tmp_path / "clients.toml"
    path.write_text('[[client]]\nname = "a"\ndns = "a"\ntenant = "t"\nscopes = ["infer"]\n')
    path.chmod(0o600)
    given = settings(authority.issue(), ssl_ca_certs=authority.file, client_cert_map=path)
    assert "1 clients are known" in certificates(machine(tmp_path, **given)).summary
    path.write_text("[[client]]")
    assert certificates(machine(tmp_path, **given)).level == "failure"
