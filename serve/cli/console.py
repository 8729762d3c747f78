"""`intramural COMMAND`: the installed command. It chooses; the commands are those of `python -m`.

Modules are run by name: benchmarks lie above serve, and none is imported before it is asked for.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Mapping, Sequence

from models import command_line
from serve.cli.console_commands import COMMANDS, OWN, SHELLS, Command
from serve.cli.main import COMMANDS as SERVE_COMMANDS
from serve.cli.spoken import SpokenStream
from serve.errors import StartupError
from serve.suggestion import near
from serve.version import version_line

WITHIN_SERVE = frozenset(SERVE_COMMANDS)
"""Words after `serve` that are its commands and no models: as `python -m serve` has it."""
HELP = frozenset({"-h", "--help"})


def main() -> int:
    """Run one command with the process's arguments; returns its exit code."""
    return command_line.run(dispatch)


def dispatch(argv: Sequence[str]) -> int:
    """Run one command: 2 for one that is not known, else its own exit code."""
    name, *rest = argv or ["help"]
    try:
        if name in COMMANDS:
            return _run(name, rest)
        if name in {"version", "--version", "-V"}:
            print(version_line())
            return 0
        if name == "help" and rest and rest[0] in COMMANDS:
            return _run(rest[0], ["--help"])
        if name in HELP or name == "help":
            print(help_text(), end="")
            return 0
        if name == "completion":
            return _complete(rest)
        known = [*COMMANDS, *OWN]
        raise StartupError(f"unknown command {name!r}.{near(name, known)} See intramural --help.")
    except StartupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def words_of(name: str, given: Sequence[str]) -> list[str]:
    """The arguments of a command's module, for what the user gave."""
    command = COMMANDS[name]
    is_model = bool(given) and not given[0].startswith("-") and given[0] not in WITHIN_SERVE
    if name == "serve" and is_model:
        return ["--model", *given]
    return [*command.words, *given]


def help_text() -> str:
    """The text of `intramural --help`."""
    lines = [
        "usage: intramural COMMAND ...",
        "",
        "A language model on your own machine: in the terminal, or behind an OpenAI-compatible",
        "API. No prompt leaves it.",
    ]
    groups: dict[str, dict[str, Command]] = {}
    for name, command in COMMANDS.items():
        groups.setdefault(command.group, {})[name] = command
    for group, commands in groups.items():
        lines += ["", f"{group}:", *_rows({n: c.summary for n, c in commands.items()})]
    lines += ["", "about the command itself:", *_rows(OWN)]
    lines += ["", "examples:", *_rows(EXAMPLES, width=46), "", CLOSING, ""]
    return "\n".join(lines)


EXAMPLES = {
    'intramural run demo "What is TTFT?"': "one answer; without a question, a chat",
    "intramural serve qwen2.5-7b --quant int8": "fetched, checked, quantised, served",
    "intramural models fit qwen2.5-7b": "what it needs in memory",
    'eval "$(intramural completion bash)"': "the Tab key completes commands and names",
}
CLOSING = "`intramural COMMAND --help` has a command's own arguments."


def _rows(texts: Mapping[str, str], width: int = 12) -> list[str]:
    return [f"  {name:{width}}{text}" for name, text in texts.items()]


def _run(name: str, given: Sequence[str]) -> int:
    """Run the command's module as the main one, as `python -m` does."""
    command = COMMANDS[name]
    answers = name in {"chat", "run"} and not HELP & set(given)
    # What a model says is never changed; what the command says of itself is.
    if not answers:
        sys.stdout = SpokenStream(sys.stdout)
    sys.stderr = SpokenStream(sys.stderr)
    sys.argv = [f"intramural {name}", *words_of(name, given)]
    try:
        runpy.run_module(command.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        return end.code or 0
    return 0


def _complete(words: Sequence[str]) -> int:
    from serve.cli import completion  # noqa: PLC0415 - it reads the settings' declarations

    if list(words) in ([], ["-h"], ["--help"]):
        print(completion.USAGE, end="")
        return 0 if words else 2
    if words[0] not in SHELLS:
        raise StartupError(
            f"no completion for {words[0]!r}.{near(words[0], SHELLS)} Known: {', '.join(SHELLS)}."
        )
    print(completion.script(words[0]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
