"""The audit log: none unless a folder is named, and what is said of it goes together."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.cli.flags import parse, settings
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError


def loaded(*arguments: str) -> Config:
    return load_config(settings(parse(list(arguments))), env={})


def test_nothing_is_recorded_unless_a_folder_is_named() -> None:
    assert loaded().audit_dir is None
    config = loaded("--audit-dir", "~/audit")
    assert config.audit_dir == Path.home() / "audit"
    assert (config.audit_level, config.audit_strict) == ("metadata", False)
    assert (config.audit_when_unavailable, config.audit_retention_days) == ("refuse", 183)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--audit-level", "full"), "--audit-level is heeded with --audit-dir only"),
        (("--audit-strict",), "--audit-strict is heeded with --audit-dir only"),
        (("--audit-dir", "a", "--audit-level", "hashed"), "add --audit-content-key-file"),
        (("--audit-dir", "a", "--audit-name", "../b"), "--audit-name"),
        (("--audit-dir", "a", "--audit-level", "none", "--audit-strict"), "another level"),
        (("--audit-dir", " "), "--audit-dir"),
        (("--audit-dir", "a", "--audit-level", "some"), "--audit-level"),
    ],
)
def test_what_means_nothing_is_refused(given: tuple[str, ...], told: str) -> None:
    with pytest.raises((StartupError, SystemExit)) as refused:
        loaded(*given)
    if isinstance(refused.value, StartupError):
        assert told in str(refused.value)
