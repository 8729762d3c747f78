"""One declaration, four sources, and clear errors for each."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError


@pytest.mark.parametrize("name", ["model", "data_dir", "state_dir", "api_key_file", "trusted_keys"])
@pytest.mark.parametrize("char", ["\0", "\n", "\x1b", "\x9b", "\u2028"])
def test_what_no_message_could_show_on_a_line_names_nothing(name: str, char: str) -> None:
    with pytest.raises(StartupError, match="has a control character in it") as refused:
        load_config({name: f"a{char}b", "require_signature": True}, env={})
    assert char not in str(refused.value)


def test_names_for_clients_and_adapters_stay_on_a_line_too() -> None:
    for setting in ("served_model_name", "lora"):
        with pytest.raises(StartupError, match="has a control character in it"):
            load_config({setting: ("a=b\n",)}, env={})


@pytest.mark.parametrize("name", ["api_key_file", "data_dir", "state_dir", "trusted_keys"])
@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_no_folder(name: str, path: str) -> None:
    """It would be the one in which the server was started."""
    with pytest.raises(ValidationError, match="it is empty: name a path"):
        Config.model_validate({name: path})


def test_a_file_of_settings_has_no_shell_so_home_is_put_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/srv/x")
    config = load_config({"api_key_file": "~/keys.json", "state_dir": "~/state"}, env={})
    assert str(config.api_key_file) == "/srv/x/keys.json"
    assert str(config.state_dir) == "/srv/x/state"
    with pytest.raises(StartupError, match="names a home directory, and there is none"):
        load_config({"data_dir": "~nobody-of-that-name/x"}, env={})


def test_fields_come_in_the_order_of_help_each_from_one_section() -> None:
    sections = list(reversed(Config.__bases__))
    names = [name for section in sections for name in section.model_fields]
    assert names == list(Config.model_fields)
    assert len(set(names)) == len(names)
