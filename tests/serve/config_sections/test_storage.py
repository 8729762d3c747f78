"""Folders and log lines: where they go unless told otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.config_sources import load_config
from serve.errors import StartupError


def test_a_home_directory_is_put_in_place_of_a_tilde() -> None:
    config = load_config({"data_dir": "~/models", "state_dir": "/var/lib/x"}, env={})
    assert config.data_dir == Path.home() / "models"
    assert config.state_dir == Path("/var/lib/x")


@pytest.mark.parametrize("name", ["data_dir", "state_dir"])
@pytest.mark.parametrize("path", ["", " ", "a\nb"])
def test_what_is_no_path_is_refused(name: str, path: str) -> None:
    with pytest.raises(StartupError, match=name.replace("_", "-")):
        load_config({name: path}, env={})


@pytest.mark.parametrize("given", [{"log_level": "loud"}, {"log_format": "xml"}])
def test_logs_have_known_forms(given: dict[str, str]) -> None:
    with pytest.raises(StartupError, match=next(iter(given)).replace("_", "-")):
        load_config(given, env={})
