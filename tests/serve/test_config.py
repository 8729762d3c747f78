"""One declaration, four sources, and clear errors for each."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from serve.cli.flags import build_parser, parse, settings
from serve.cli.serve_command import as_toml
from serve.config import Config, env_of, flag_of, load_config
from serve.errors import StartupError


def test_flags_win_over_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("port = 1\nmax-num-seqs = 2\nmax_model_len = 3\n")
    env = {"INTRAMURAL_PORT": "10", "INTRAMURAL_MAX_NUM_SEQS": "20"}
    config = load_config({"port": "100"}, file=file, env=env)
    assert (config.port, config.max_num_seqs, config.max_model_len) == (100, 20, 3)


def test_every_setting_has_a_flag_a_name_and_a_description() -> None:
    options = {o for action in build_parser()._actions for o in action.option_strings}
    for name, field in Config.model_fields.items():
        assert flag_of(name) in options
        assert env_of(name).startswith("INTRAMURAL_")
        assert field.description
        assert field.description.endswith(".")


@pytest.mark.parametrize(
    ("flags", "env", "message"),
    [
        ({"port": "99999"}, {}, r"--port \(command line\).*65535, not '99999'"),
        ({"engine": "tensorrt"}, {}, r"--engine .*'transformers'"),
        ({}, {"INTRAMURAL_MAX_NUM_SEQS": "0"}, r"--max-num-seqs \(environment\).*not '0'"),
        ({}, {"INTRAMURAL_POTR": "1"}, r"unknown setting INTRAMURAL_POTR\. Did you mean .*_PORT"),
        ({"served_model_name": ("a", " ")}, {}, "a name is empty"),
        ({"max_num_seqs": "8", "max_num_batched_tokens": "7"}, {}, "a step holds a token of every"),
    ],
)
def test_bad_values_name_their_source(
    flags: dict[str, str], env: dict[str, str], message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        load_config(flags, env=env)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", r"unknown setting 'prot'\. Did you mean port"),
        ("port = ", "cannot be read"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(StartupError, match=message):
        load_config({}, file=file, env={})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be read"):
        load_config({}, file=tmp_path / "absent.toml", env={})


def test_foreign_environment_is_left_alone() -> None:
    assert load_config({}, env={"PATH": "/bin"}).model == "demo"


def test_several_served_names_from_the_environment() -> None:
    config = load_config({}, env={"INTRAMURAL_SERVED_MODEL_NAME": "a,b"})
    assert config.model_names == ("a", "b")


def test_the_models_own_name_is_the_default() -> None:
    assert load_config({"model": "some/folder/qwen"}, env={}).model_names == ("qwen",)


def test_print_config_prints_what_config_reads(tmp_path: Path) -> None:
    config = load_config({"port": "9", "served_model_name": ("x",)}, env={})
    file = tmp_path / "printed.toml"
    file.write_text(as_toml(config))
    assert tomllib.loads(file.read_text())["port"] == 9
    assert load_config({}, file=file, env={}) == config


def test_unknown_flags_suggest_near_ones() -> None:
    with pytest.raises(StartupError, match=r"'--max-seqs'.*--max-num-seqs"):
        parse(["--max-seqs", "3"])


def test_only_given_flags_become_settings() -> None:
    assert settings(parse(["--port", "9"])) == {"port": "9"}
