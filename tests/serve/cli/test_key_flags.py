"""Flags of the keys commands."""

from __future__ import annotations

import pytest

from serve.cli.key_flags import COMMANDS, parsed, parser
from serve.errors import StartupError
from serve.governance.identity.key_changes import DEFAULT_SCOPES
from serve.governance.limit_names import LIMIT_NAMES


@pytest.mark.parametrize("name", COMMANDS.split("|"))
def test_every_command_has_its_places_and_json(name: str) -> None:
    words = [name] if name in {"create", "list"} else [name, "some-id"]
    given = parser(None).parse_args([*words, "--database", "--json", "--key-pepper-file", "p"])
    assert (given.command, given.database, given.json, given.file) == (name, True, True, None)
    assert str(given.key_pepper_file) == "p"


def test_the_help_names_scopes_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser(None).parse_args(["create", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert " ".join(DEFAULT_SCOPES) in shown
    assert all(name in shown for name in LIMIT_NAMES)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["limits", "some-id", "--database", "a=1"], "keys limits some-id a=1 --"),
        (["limits", "some-id", "a=1", "--json", "b=2"], "keys limits some-id a=1 b=2 --"),
        (["limits", "some-id", "--odd", "a=1"], "unrecognized arguments: --odd a=1"),
        (["show", "some-id", "other"], "unrecognized arguments: other"),
    ],
)
def test_what_is_left_over_is_told_with_what_to_do(words: list[str], advice: str) -> None:
    with pytest.raises(StartupError) as raised:
        parsed(words, None)
    assert advice in str(raised.value)
    assert parsed(["limits", "some-id", "a=1", "b=2", "--json"], None).limit == ["a=1", "b=2"]
