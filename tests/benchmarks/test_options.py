"""Options that several commands share have the same names, choices and defaults."""

from __future__ import annotations

from argparse import ArgumentParser

import pytest

from benchmarks.options import ENGINES, add_engine, add_schemes
from models.refs import QuantScheme
from serve.engine import registry


@pytest.fixture
def parser() -> ArgumentParser:
    parser = ArgumentParser()
    add_engine(parser)
    add_schemes(parser, ["none", "int8"], "schemes to serve")
    return parser


def test_without_a_word_it_is_our_engine_and_the_commands_own_schemes(parser) -> None:
    options = parser.parse_args([])
    assert (options.engine, options.quant) == ("transformers", ["none", "int8"])


def test_every_scheme_may_be_named_and_several_at_once(parser) -> None:
    words = [str(scheme) for scheme in QuantScheme]
    assert parser.parse_args(["--quant", *words]).quant == words


@pytest.mark.parametrize("words", [["--quant"], ["--quant", "int3"], ["--engine", "fake"]])
def test_what_there_is_not_is_refused_with_what_there_is(parser, words, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_help_names_the_default(parser) -> None:
    text = " ".join(parser.format_help().split())
    assert "schemes to serve (default: none int8)" in text
    assert "(default: transformers)" in text


def test_every_engine_is_one_of_the_servers() -> None:
    assert set(ENGINES) <= set(registry.ENGINES)
