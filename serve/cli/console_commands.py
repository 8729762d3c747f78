"""The commands of `intramural`: what each runs, and a line on it. A table, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        module: run as ``python -m`` would.
        summary: for --help and completion.
        words: put before what the user gives.
        commands: that it has below itself, for completion; tests hold them to its parser.
        takes_model: its first word is a model's name, or a folder.
        group: of --help.
    """

    module: str
    summary: str
    words: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    takes_model: bool = False
    group: str = "use a model"


COMMANDS = {
    "run": Command(
        "serve", "chat with a model, or ask it one question", ("run",), takes_model=True
    ),
    "serve": Command("serve", "serve a model over HTTP", takes_model=True),
    "chat": Command("serve", "chat with a server that is running", ("chat",)),
    "list": Command(
        "models", "models that are known, and those on this machine", ("list",), group="get models"
    ),
    "pull": Command(
        "models",
        "fetch a model, checked and pinned",
        ("pull",),
        takes_model=True,
        group="get models",
    ),
    "models": Command(
        "models",
        "all that can be done with stored models: show, fit, verify, rm, ...",
        commands=(
            *("list", "show", "pull", "verify", "keygen", "sign", "bundle", "import"),
            *("rm", "du", "gc", "fit"),
        ),
        group="get models",
    ),
    "quantize": Command(
        "quantize", "make a model smaller: int8, int4, ...", takes_model=True, group="get models"
    ),
    "keys": Command(
        "serve",
        "make, list, limit and revoke API keys",
        ("keys",),
        commands=("create", "list", "show", "rotate", "revoke", "limits", "preset"),
        group="operate",
    ),
    "filter": Command(
        "serve", "try rules of the content filter on a text", ("filter",), group="operate"
    ),
    "mask": Command("serve", "try rules of masking on a text", ("mask",), group="operate"),
    "audit": Command(
        "serve",
        "verify, search, prove, witness and prune audit logs",
        ("audit",),
        commands=(
            "verify",
            "search",
            "export",
            "prove",
            "compare",
            "witness",
            "erase",
            "prune",
            "key",
        ),
        group="operate",
    ),
    "usage": Command("serve", "who used how much: a table and bars", ("usage",), group="operate"),
    "feedback": Command(
        "serve",
        "what answers were worth, by those who got them",
        ("feedback",),
        commands=("list", "counts", "forget"),
        group="operate",
    ),
    "storage": Command(
        "serve",
        "back up, restore, check and migrate the database",
        ("storage",),
        commands=("backup", "restore", "check", "migrate"),
        group="operate",
    ),
    "doctor": Command(
        "serve", "what is wrong with this machine or a server", ("doctor",), group="operate"
    ),
    "evidence": Command(
        "serve",
        "one signed folder for an auditor, and its verifier",
        ("evidence",),
        group="operate",
    ),
    "bench": Command(
        "benchmarks",
        "measure engines, servers, and what quantising cost",
        commands=("engine", "serving", "compare", "agent", "diff", "plan", "quality", "trial"),
        group="operate",
    ),
}
OWN = {
    "completion": "print what completes these commands in bash, zsh or fish",
    "version": "print the version and the commit",
    "help": "print this; `help COMMAND` is `COMMAND --help`",
}
"""Commands that the console itself answers."""
SHELLS = ("bash", "zsh", "fish")
