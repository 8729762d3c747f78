"""The choice of a command: `python -m serve [FLAGS]`, or `… run`, chat, keys, audit, usage, ...

Exit codes: 0 success; 1 failed while running; 2 wrong arguments or settings; 130 interrupted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Final

from models import command_line
from serve.environment import leave_out_foreign_variables
from serve.errors import StartupError
from serve.version import version_line

Command = Callable[[Sequence[str]], int]
COMMANDS: Final = {
    "audit": ("serve.cli.audit", "run_audit"),
    "chat": ("serve.cli.chat", "run_chat"),
    "doctor": ("serve.cli.doctor", "run_doctor"),
    "evidence": ("serve.cli.evidence", "run_evidence"),
    "feedback": ("serve.cli.feedback", "run_feedback"),
    "filter": ("serve.cli.filter", "run_filter"),
    "keys": ("serve.cli.keys", "run_keys"),
    "mask": ("serve.cli.mask", "run_mask"),
    "run": ("serve.cli.run", "run_model"),
    "storage": ("serve.cli.storage", "run_storage"),
    "usage": ("serve.cli.usage", "run_usage"),
    "wait": ("serve.cli.wait", "run_wait"),
}
"""The module and the function of each command; any other first word is the server's."""


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    leave_out_foreign_variables()
    command, rest = _choose(argv)
    try:
        return command(rest)
    except StartupError as error:
        command_line.complain(str(error))
        return command_line.REFUSED
    except KeyboardInterrupt:
        return 130


def _choose(argv: Sequence[str]) -> tuple[Command, Sequence[str]]:
    name = argv[0] if argv else ""
    if name == "--version":
        return _print_version, argv[1:]
    if name in COMMANDS:
        # Imported late: `keys` and `chat` start at once, without the server's imports.
        module, function = COMMANDS[name]
        command: Command = getattr(importlib.import_module(module), function)
        return command, argv[1:]
    from serve.cli.serve_command import run_serve

    return run_serve, argv


def _print_version(_argv: Sequence[str]) -> int:
    print(version_line())
    return 0
