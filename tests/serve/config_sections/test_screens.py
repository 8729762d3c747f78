"""The settings of screens are paths like the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.config_sources import load_config
from serve.errors import StartupError


def test_nothing_is_screened_unless_a_file_says_so() -> None:
    config = load_config({}, env={})
    assert (config.content_filter_file, config.presets_file) == (None, None)
    config = load_config({}, env={"INTRAMURAL_PRESETS_FILE": "~/presets.toml"})
    assert config.presets_file == Path.home() / "presets.toml"


@pytest.mark.parametrize("name", ["content_filter_file", "presets_file"])
def test_what_is_no_path_is_refused(name: str) -> None:
    with pytest.raises(StartupError, match=f"--{name.replace('_', '-')}"):
        load_config({name: " "}, env={})
