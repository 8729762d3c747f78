"""One declaration, four sources, and clear errors for each."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from models.refs import QuantScheme
from serve.cli.flags import parse, settings
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError


def test_switches_have_two_flags_and_plain_values_elsewhere() -> None:
    assert settings(parse(["--enforce-eager"])) == {"enforce_eager": True}
    assert settings(parse(["--no-enable-prefix-caching"])) == {"enable_prefix_caching": False}
    env = {"INTRAMURAL_ENFORCE_EAGER": "true", "INTRAMURAL_ENGINE_ARG": "block_size=64  seed=1"}
    config = load_config({}, env=env)
    assert config.enforce_eager
    assert config.engine_arg == ("block_size=64", "seed=1")


def test_engine_arguments_may_be_given_again_and_again() -> None:
    given = settings(parse(["--engine-arg", "a=1", "--engine-arg", 'b={"c": 2}']))
    assert load_config(given, env={}).engine_arg == ("a=1", 'b={"c": 2}')


def test_the_models_own_name_is_the_default() -> None:
    assert load_config({"model": "some/folder/qwen"}, env={}).model_names == ("qwen",)


def test_the_fake_engine_and_a_scheme_do_not_go_together() -> None:
    with pytest.raises(StartupError, match="the fake engine has no weights"):
        load_config({"engine": "fake", "quant": "int8"}, env={})
    assert load_config({"engine": "fake", "quant": "auto"}, env={}).quant_scheme is None
    assert load_config({"quant": "none"}, env={}).quant_scheme == "none"


def test_every_scheme_can_be_asked_for() -> None:
    for scheme in QuantScheme:
        assert load_config({"quant": str(scheme)}, env={}).quant_scheme is scheme
        assert scheme in (Config.model_fields["quant"].description or "")


def test_a_budget_of_bytes_is_no_scheme() -> None:
    config = load_config({"quant": "auto:1.5GB"}, env={})
    assert (config.quant_bytes, config.quant_scheme) == (1_500_000_000, None)
    variant = load_config({"quant": "int4-down"}, env={}).quant_choice
    assert variant is not None
    assert (variant.scheme, variant.variant) == ("int4", "down")
    for wrong in ("int5", "auto:", "auto:0", "auto:lots", "int8-down", ""):
        with pytest.raises(StartupError, match="--quant"):
            load_config({"quant": wrong}, env={})


@pytest.mark.parametrize("arm", ["", "a b", "a\r\nx-evil: 1", "ä", "x" * 65])
def test_an_arm_is_a_plain_word(arm: str) -> None:
    with pytest.raises(StartupError, match="--arm"):
        load_config({"arm": arm}, env={})
    assert load_config({"arm": "canary_2.b"}, env={}).arm == "canary_2.b"


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


def test_a_snapshot_of_a_cache_is_served_under_its_repository_s_name() -> None:
    snapshot = "/hub/models--acme--tiny/snapshots/" + "c" * 40
    assert Config(model=snapshot).model_names == ("acme--tiny",)
    assert Config(model="./my-model").model_names == ("my-model",)
