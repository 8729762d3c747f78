"""Masking: none unless a file is named."""

from __future__ import annotations

from pathlib import Path

from serve.cli.flags import parse, settings
from serve.config_sources import load_config


def test_nothing_is_masked_unless_a_file_is_named() -> None:
    assert load_config({}, env={}).masking_file is None
    given = load_config(settings(parse(["--masking-file", "~/masking.toml"])), env={})
    assert given.masking_file == Path.home() / "masking.toml"
