"""The vocabulary is read beside the weights; without one the model takes no grammars."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from serve.engine.grammars import background
from serve.engine.grammars.background import BackgroundCompiler
from serve.engine.grammars.vocabulary import VocabularyError


def begun() -> BackgroundCompiler:
    return BackgroundCompiler(Path("/m/tiny"), vocab_size=10, eos_token_ids=frozenset({2}))


def test_it_begins_at_once_and_is_waited_for(monkeypatch):
    may_end, asked = threading.Event(), []

    def compiler_of(*arguments: Any, **named: Any) -> str:
        asked.append((*arguments, named))
        assert may_end.wait(30)
        return "a compiler"

    monkeypatch.setattr(background, "compiler_of", compiler_of)
    compiler = begun()
    may_end.set()
    assert compiler.result() == "a compiler"
    assert compiler.result() == "a compiler"
    assert asked == [(Path("/m/tiny"), {"vocab_size": 10, "eos_token_ids": frozenset({2})})]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (VocabularyError("no bytes"), "this model takes no grammars"),
        (RuntimeError("broken"), "the vocabulary could not be read for grammars"),
    ],
)
def test_a_vocabulary_that_cannot_be_read_is_told_in_the_log(monkeypatch, caplog, error, words):
    def compiler_of(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(background, "compiler_of", compiler_of)
    with caplog.at_level(logging.WARNING):
        assert begun().result() is None
    (record,) = caplog.records
    assert words in record.message
