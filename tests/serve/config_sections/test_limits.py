"""Limits and the ledger: none unless asked for."""

from __future__ import annotations

from pathlib import Path

from serve.cli.flags import parse, settings
from serve.config_sources import load_config
from serve.storage.configured import needs_database


def test_nothing_is_counted_unless_it_is_asked_for() -> None:
    config = load_config({}, env={})
    assert (config.limits_file, config.usage_ledger) == (None, False)
    assert not needs_database(config)


def test_limits_and_the_ledger_need_a_database() -> None:
    limited = load_config(settings(parse(["--limits-file", "~/limits.toml"])), env={})
    assert limited.limits_file == Path.home() / "limits.toml"
    assert needs_database(limited)
    assert needs_database(load_config({}, env={"INTRAMURAL_USAGE_LEDGER": "true"}))
