"""Settings are told whole; of secrets not even a digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from serve.config import Config
from serve.evidence.settings import settings


def test_rules_have_a_digest_and_secrets_a_mode_alone(tmp_path: Path) -> None:
    limits, pepper = tmp_path / "limits.toml", tmp_path / "pepper"
    limits.write_bytes(b"currency = 'EUR'\n")
    pepper.write_bytes(b"p" * 32)
    pepper.chmod(0o600)
    part = settings(Config(limits_file=limits, key_pepper_file=pepper, api_keys="database"))
    rows = json.loads(part.files["settings.json"])
    digest = hashlib.sha256(b"currency = 'EUR'\n").hexdigest()
    assert rows["limits_file"]["file"]["sha256"] == digest
    assert set(rows["key_pepper_file"]["file"]) == {"mode", "owner_id"}
    assert rows["key_pepper_file"]["file"]["mode"] == "0600"
    assert hashlib.sha256(b"p" * 32).hexdigest().encode() not in part.files["settings.json"]
    assert set(rows) == set(Config.model_fields)
    assert part.state == "whole"


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    part = settings(Config(limits_file=tmp_path / "gone.toml"))
    assert part.state == "partly"
    assert "limits_file" in part.summary
