"""The front of `python -m benchmarks`: which commands there are, and what each is given."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as front
from benchmarks import diff

COMMANDS = ("engine", "serving", "compare", "agent", "diff", "plan", "quality", "trial")


def test_help_names_every_command(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        front.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name} " not in shown] == []


@pytest.mark.parametrize("words", [[], ["measure"], ["diff", "--no-such-option"]])
def test_what_is_no_command_is_a_mistake_of_usage(words, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        front.main(words)
    assert ended.value.code == 2
    assert "usage: python -m benchmarks" in capsys.readouterr().err


def test_a_command_gets_its_own_words_and_its_exit_code_is_returned(monkeypatch) -> None:
    words = ["diff", "a.json", "b.json", "--least", "0.1"]
    seen = []
    monkeypatch.setattr(diff, "_run", lambda options: seen.append(options) or 7)
    assert front.main(words) == 7
    assert seen[0].command_line == words
    assert seen[0].least == 0.1
