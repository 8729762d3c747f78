from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from models.cli.options import (
    command,
    data_dir_flag,
    default_data_dir,
    size_in_bytes,
    whole_number,
)


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="x", allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    epilog = """\
        examples:
          x look --json
        """
    command(commands, "look", text="what is here", run=lambda options: 7, epilog=epilog)
    return parser


def test_a_command_takes_json_and_a_data_directory_and_knows_what_to_run(parser):
    options = parser.parse_args(["look", "--json", "--data-dir", "here"])
    assert (options.json, options.data_dir) == (True, Path("here"))
    assert options.run(options) == 7
    assert not parser.parse_args(["look"]).json


def test_its_help_is_a_sentence_and_the_examples_as_they_are_written(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["look", "--help"])
    said = capsys.readouterr().out
    assert "\nWhat is here.\n" in said
    assert "\nexamples:\n  x look --json\n" in said


def test_half_of_an_option_is_refused(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["look", "--js"])
    assert "unrecognized arguments: --js" in capsys.readouterr().err


def test_data_dir_follows_the_server_s_own_default(monkeypatch, tmp_path):
    monkeypatch.delenv("INTRAMURAL_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    from serve.config_sources import load_config

    assert default_data_dir() == load_config({}).data_dir
    monkeypatch.setenv("INTRAMURAL_DATA_DIR", str(tmp_path / "other"))
    assert default_data_dir() == load_config({}).data_dir


def test_without_any_variable_it_is_in_the_home(monkeypatch, tmp_path):
    for name in ("INTRAMURAL_DATA_DIR", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".local/share/intramural"


@pytest.mark.parametrize(
    ("text", "size"),
    [("24GB", 24 * 10**9), ("24GiB", 24 << 30), ("1.5 tb", 15 * 10**11), ("7", 7), ("80gb", 8e10)],
)
def test_sizes_are_of_powers_of_ten_or_two_in_any_case(text, size):
    assert size_in_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "24 Gigs", "-1GB", "0GB", "1e9", "1,5GB", "1.GB", "٣GB"]
)
def test_what_is_no_size_is_named(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no size; write 24GB") as refused:
        size_in_bytes(text)
    assert repr(text) in str(refused.value)


def test_whole_numbers_are_above_nought():
    assert whole_number("12") == 12
    for text in ("0", "-1", "1.5", "", "x", "²"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no whole number above 0"):
            whole_number(text)


def test_a_shown_command_names_the_data_directory_unless_the_server_finds_it(monkeypatch):
    assert data_dir_flag(default_data_dir()) == ""
    assert data_dir_flag(Path("/srv/our models")) == " --data-dir '/srv/our models'"
    monkeypatch.setenv("INTRAMURAL_DATA_DIR", "/srv/models")
    assert data_dir_flag(Path("/srv/models")) == ""
