"""The commands of a chat: what each does, what it says, and how it is completed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.cli.chat import commands
from serve.cli.chat.asking import Parameters
from serve.cli.chat.commands import State
from serve.cli.chat.conversation import Conversation
from serve.cli.chat.server import AskError


class Names:
    """A server's models."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def models(self) -> list[str]:
        if not self.names:
            raise AskError("no server answers")
        return self.names


@pytest.fixture
def state() -> State:
    conversation = Conversation()
    conversation.keep("Why?", "So.")
    return State(conversation, Parameters(model="demo"), Names("demo", "qwen"))


def test_another_model_goes_on_with_the_conversation(state: State) -> None:
    assert commands.run("/model", state).splitlines() == ["* demo", "  qwen"]
    assert "Did you mean qwen?" in commands.run("/model qwne", state)
    assert state.parameters.model == "demo"
    assert "qwen answers" in commands.run("/model  qwen ", state)
    assert state.parameters.model == "qwen"
    assert state.conversation.num_turns == 2
    state.server = Names()
    assert commands.run("/model", state) == "no server answers"


def test_the_system_message(state: State) -> None:
    assert "is set" in commands.run("/system Be kind.\nAnd brief.", state)
    assert state.conversation.system == "Be kind.\nAnd brief."
    assert "stays" in commands.run("/reset", state)
    assert "taken away" in commands.run("/system", state)
    assert commands.run("/system", state) == "there is no system message"


def test_stop_strings(state: State) -> None:
    assert commands.run("/stop END", state) == "answers end before 'END'"
    commands.run("/stop \\n\\n", state)
    assert state.parameters.stop == ["END", "\n\n"]
    for text in "abc":
        last = commands.run(f"/stop {text}", state)
    assert "4 stop strings already" in last
    assert "Ctrl-C stops" in commands.run("/stop", state)
    assert state.parameters.stop == []


def test_saving_and_loading_say_what_is_lost(state: State, tmp_path: Path) -> None:
    file = tmp_path / "a file.json"
    assert commands.run("/save", state) == "give a name: /save FILE"
    assert commands.run("/load", state) == "give a name: /load FILE"
    assert commands.run(f"/save {file}", state) == f"2 messages in {file}; only you can read it"
    assert "there already" in commands.run(f"/save {file}", state)
    assert "in place of what it held" in commands.run(f"/save --force {file}", state)
    assert commands.run(f"/load {file}", state) == f"2 messages from {file}, in place of 2"
    state.conversation.keep("And?", "No.")
    state.parameters.model = "qwen"
    told = commands.run(f"/load {file}", state)
    assert "in place of 4 that were not saved" in told
    assert "They were with demo; qwen goes on" in told
    assert json.loads(file.read_text())["messages"] == state.conversation.messages
    assert "cannot be read" in commands.run(f"/load {tmp_path}", state)
    assert "no home" not in commands.run("/load ~nobody-of-that-name/x", state)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/modle", "no command /modle. Did you mean /model?"),
        ("/rest", "Did you mean /reset"),
        ("/etc/hosts what is it?", "To say it to the model, begin with a space"),
        ("/\x1b[2J", "no command /\\x1b[2J."),
        ("/", "/help lists them"),
    ],
)
def test_what_is_no_command_says_what_is_near(state: State, line: str, said: str) -> None:
    assert commands.is_command(line)
    assert said in commands.run(line, state)


def test_help_names_every_command_within_80_columns(state: State) -> None:
    lines = commands.run("/help", state).splitlines()
    assert all(any(line.startswith(f"/{name} ") for line in lines) for name in commands.COMMANDS)
    assert any(line.startswith("Ctrl-C ") for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("word", ["/exit", "/quit", "/bye", "/EXIT"])
def test_it_ends(state: State, word: str) -> None:
    assert commands.run(word, state) == ""
    assert state.has_ended


def test_completions(state: State, tmp_path: Path) -> None:
    (tmp_path / "talk.json").touch()
    (tmp_path / "talks").mkdir()
    (tmp_path / ".hidden").touch()

    def of(line: str) -> list[str]:
        return list(commands.completions(line, state))

    assert of("/s") == ["/system ", "/stop ", "/save "]
    assert of("/h") == ["/help"]
    assert of("/model q") == ["/model qwen"]
    assert of(f"/load {tmp_path}/ta") == [f"/load {tmp_path}/talk.json", f"/load {tmp_path}/talks/"]
    assert of(f"/save --force {tmp_path}/talk.") == [f"/save --force {tmp_path}/talk.json"]
    assert len(of(f"/load {tmp_path}/")) == 2
    assert of("/load /no/such/") == []
    assert of("/system x") == of("hello") == []
    state.server = Names()
    assert of("/model ") == []
