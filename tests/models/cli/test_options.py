from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from models.cli.options import command, default_data_dir


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
