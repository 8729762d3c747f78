"""The table of `intramural`'s commands is held to the commands that it starts."""

from __future__ import annotations

import pytest

from serve.cli.console_commands import COMMANDS
from tests.house.commands import parser_of, runnable


@pytest.mark.parametrize("name", COMMANDS)
def test_a_row_is_a_command_that_can_be_run(name: str) -> None:
    command = COMMANDS[name]
    assert runnable(command.module)
    if not (command.commands or command.words):
        return
    parser = parser_of(command.module, *command.words[:1])
    assert parser is not None
    below = [set(one.choices) for one in parser._actions if one.choices and not one.option_strings]
    if command.commands:
        assert below == [set(command.commands)]
    if command.module == "models":
        assert below[0] >= set(command.words)
