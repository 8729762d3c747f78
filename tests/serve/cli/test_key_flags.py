"""Flags of the keys commands."""

from __future__ import annotations

import pytest

from serve.cli.key_flags import COMMANDS, parser
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
