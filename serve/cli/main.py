"""The choice of a command: `python -m serve [FLAGS]`, or `… run`, chat, keys, audit, usage, ...

Exit codes: 0 success; 1 failed while running; 2 wrong arguments or settings; 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models import command_line
from serve.environment import leave_out_foreign_variables
from serve.errors import StartupError
from serve.version import version_line


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


def _choose(argv: Sequence[str]) -> tuple[Callable[[Sequence[str]], int], Sequence[str]]:
    # Imported late: `keys` and `chat` start at once, without the server's imports.
    name = argv[0] if argv else ""
    if name == "--version":
        return _print_version, argv[1:]
    if name == "run":
        from serve.cli.run import run_model

        return run_model, argv[1:]
    if name == "chat":
        from serve.cli.chat import run_chat

        return run_chat, argv[1:]
    if name == "keys":
        from serve.cli.keys import run_keys

        return run_keys, argv[1:]
    if name == "doctor":
        from serve.cli.doctor import run_doctor

        return run_doctor, argv[1:]
    if name == "storage":
        from serve.cli.storage import run_storage

        return run_storage, argv[1:]
    if name == "wait":
        from serve.cli.wait import run_wait

        return run_wait, argv[1:]
    if name == "audit":
        from serve.cli.audit import run_audit

        return run_audit, argv[1:]
    if name == "usage":
        from serve.cli.usage import run_usage

        return run_usage, argv[1:]
    if name == "evidence":
        from serve.cli.evidence import run_evidence

        return run_evidence, argv[1:]
    from serve.cli.serve_command import run_serve

    return run_serve, argv


def _print_version(_argv: Sequence[str]) -> int:
    print(version_line())
    return 0
