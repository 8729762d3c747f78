"""`python -m serve`: the words of the command line in, the exit code out."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

import pytest


@pytest.fixture(autouse=True)
def never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "serve.__main__", raising=False)


def test_words_and_exit_code_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Sequence[str]] = []

    def main(argv: Sequence[str]) -> int:
        heard.append(argv)
        return 2

    monkeypatch.setattr("serve.cli.main.main", main)
    monkeypatch.setattr(sys, "argv", ["serve", "keys", "list"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("serve", run_name="__main__")
    assert end.value.code == 2
    assert heard == [["keys", "list"]]


def test_importing_it_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def main(_: Sequence[str]) -> int:
        raise AssertionError("started")

    monkeypatch.setattr("serve.cli.main.main", main)
    runpy.run_module("serve.__main__", run_name="imported")
