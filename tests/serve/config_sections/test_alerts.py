"""The setting of alerts is a path like the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.config_sources import load_config
from serve.errors import StartupError


def test_nobody_is_told_unless_a_file_says_so() -> None:
    assert load_config({}, env={}).alerts_file is None
    config = load_config({}, env={"INTRAMURAL_ALERTS_FILE": "~/alerts.toml"})
    assert config.alerts_file == Path.home() / "alerts.toml"


@pytest.mark.parametrize("path", ["", " ", "a\nb"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(StartupError, match="--alerts-file"):
        load_config({"alerts_file": path}, env={})
