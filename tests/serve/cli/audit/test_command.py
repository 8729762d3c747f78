"""The choice between the audit commands, and words for flags that none of them has."""

from __future__ import annotations

import pytest

from serve.cli.audit import run_audit
from serve.cli.audit.command import COMMANDS, EPILOG, parser
from serve.errors import StartupError


def test_every_command_is_offered_and_runs_something():
    (choices,) = (action.choices for action in parser()._actions if action.choices)
    assert tuple(sorted(choices)) == tuple(sorted(COMMANDS))
    for name in ("verify", "search", "export", "prune"):
        assert callable(parser().parse_args([name]).run)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["search", "--tenat", "x"], "'--tenat'. Did you mean --tenant?"),
        (["verify", "--jsn"], "'--jsn'. Did you mean --json?"),
        (["verify", "--log-kee=x"], "'--log-kee'. Did you mean --log-key or --log?"),
    ],
)
def test_an_unknown_flag_is_told_with_the_nearest(words, told):
    with pytest.raises(StartupError) as refused:
        run_audit(words)
    assert f"unknown argument {told}" in str(refused.value)
    assert str(refused.value).endswith("See --help.")


def test_the_result_is_the_exit_code(monkeypatch):
    monkeypatch.setattr("serve.cli.audit.verdicts._run", lambda arguments: 1 + arguments.json)
    assert [run_audit(["verify"]), run_audit(["verify", "--json"])] == [1, 2]


def test_the_examples_are_of_commands_that_there_are():
    used = {
        line.split("audit ")[1].split()[0] for line in EPILOG.splitlines() if "-m serve" in line
    }
    assert used <= set(COMMANDS)
