"""Which command runs, with which words, and the exit code that it ends with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module

import pytest

from serve.cli.main import main
from serve.errors import StartupError

COMMANDS = {
    "chat": "serve.cli.chat.run_chat",
    "keys": "serve.cli.keys.run_keys",
    "doctor": "serve.cli.doctor.run_doctor",
    "": "serve.cli.serve_command.run_serve",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_gets_the_words_after_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    heard: list[Sequence[str]] = []

    def command(argv: Sequence[str]) -> int:
        heard.append(argv)
        return 7

    module, _, function = COMMANDS[name].rpartition(".")
    monkeypatch.setattr(import_module(module), function, command)
    assert main([*([name] if name else []), "--model", "keys"]) == 7
    assert [list(words) for words in heard] == [["--model", "keys"]]


@pytest.mark.parametrize(
    ("error", "code"), [(StartupError("no such model"), 2), (KeyboardInterrupt(), 130)]
)
def test_how_a_command_ended_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    def fails(_: Sequence[str]) -> int:
        raise error

    monkeypatch.setattr("serve.cli.serve_command.run_serve", fails)
    assert main([]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == ("error: no such model\n" if code == 2 else "")


@pytest.mark.parametrize("words", [["serve"], ["Keys"], ["--chat"]])
def test_a_word_that_is_no_command_is_refused(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(words) == 2
    assert f"unknown argument '{words[0]}'" in capsys.readouterr().err


def test_keys_start_without_the_server() -> None:
    program = (
        "import sys\nfrom serve.cli.main import main\nmain(['keys', 'list', '--file', '/no/file'])"
        "\nprint({'serve.bootstrap', 'torch', 'fastapi'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
