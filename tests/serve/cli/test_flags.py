"""The flags of `python -m serve`: one for each setting, known by their full names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from serve.cli.flags import (
    GROUPS,
    build_parser,
    default_text,
    literal_choices,
    parse,
    settings,
    subparser,
    type_name,
)
from serve.config import Config
from serve.errors import StartupError
from serve.setting_names import env_of, flag_of


def test_every_setting_has_a_flag_a_name_and_a_description() -> None:
    options = {o for action in build_parser()._actions for o in action.option_strings}
    for name, field in Config.model_fields.items():
        assert flag_of(name) in options
        assert env_of(name).startswith("INTRAMURAL_")
        assert field.description
        assert field.description.endswith(".")


def test_unknown_flags_suggest_near_ones() -> None:
    with pytest.raises(StartupError, match=r"'--max-seqs'.*--max-num-seqs"):
        parse(["--max-seqs", "3"])


def test_only_given_flags_become_settings() -> None:
    assert settings(parse(["--port", "9"])) == {"port": "9"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-num-seq", "3"], "'--max-num-seq'.*--max-num-seqs"),  # a prefix is no flag
        (["--max-num-seqs"], "expected one argument"),
        (["demo"], r"unknown argument 'demo'\..*See --help"),
        (["--device=tpu"], "invalid choice: 'tpu'"),
        (["--prt=9", "--print-config"], "unknown argument '--prt'.*--port"),
    ],
)
def test_a_wrong_line_is_an_error_that_names_the_word(words: list[str], message: str) -> None:
    with pytest.raises(StartupError, match=message):
        parse(words)


def test_flags_that_repeat_keep_their_order() -> None:
    words = ["--lora", "a=/x", "--served-model-name", "m", "n", "--lora", "b=/y"]
    assert settings(parse(words)) == {"lora": ["a=/x", "b=/y"], "served_model_name": ["m", "n"]}


def test_config_and_print_config_are_no_settings() -> None:
    namespace = parse(["--config", "serve.toml", "--print-config"])
    assert settings(namespace) == {}
    assert (namespace.config, namespace.print_config) == (Path("serve.toml"), True)


def test_help_shows_each_group_once_and_every_default() -> None:
    text = build_parser().format_help()
    assert [text.count(f"{title}:\n") for title in GROUPS.values()] == [1] * len(GROUPS)
    assert "(default: 8000)" in text
    assert "default: None" not in text
    assert "%%" not in text


def test_a_subcommand_is_named_in_its_own_usage() -> None:
    assert subparser("doctor", "Look.", "").format_usage().startswith("usage: python -m serve doct")


def test_types_and_defaults_are_told_in_plain_words() -> None:
    assert type_name(int | None) == "int"
    assert type_name(Path | None) == "path"
    assert type_name(tuple[str, ...]) == "str"
    assert literal_choices(Literal["a", "b"]) == ("a", "b")
    assert literal_choices(str) == ()
    fields = Config.model_fields
    assert default_text("port", fields["port"]) == "default: 8000"
    assert default_text("api_key_file", fields["api_key_file"]) == ""
    assert default_text("lora", fields["lora"]) == ""
    assert default_text("max_num_seqs", fields["max_num_seqs"]) == "default: auto"
    assert default_text("data_dir", fields["data_dir"]) == "default: ~/.local/share/intramural"
