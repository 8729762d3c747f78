"""Command-line flags, made from the settings' own declarations in serve/config.py."""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from models import command_line
from serve.config import Config
from serve.config_sections.capacity import AUTO, OR_AUTO
from serve.errors import StartupError
from serve.setting_names import env_of, flag_of
from serve.suggestion import near

GROUPS = {
    "model": "what to serve",
    "max_model_len": "how much of it",
    "prompt_lookup": "for the transformers engine",
    "tensor_parallel_size": "for the vLLM engine",
    "offline": "which bytes may be served",
    "host": "where it listens",
    "ssl_certfile": "how it is encrypted",
    "api_keys": "who may ask",
    "masking_file": "masking",
    "limits_file": "limits, budgets and usage",
    "content_filter_file": "content filter and presets",
    "alerts_file": "alerts and feedback",
    "response_cache": "answers that are given again",
    "audit_dir": "audit log",
    "database_url_file": "stores that replicas share",
    "data_dir": "where it keeps and writes",
}
"""The field that opens each group of --help; fields follow their order in Config."""


class Parser(command_line.Parser):
    """An argument parser that raises StartupError instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise StartupError(message)


def build_parser() -> Parser:
    """The parser of `python -m serve`."""
    parser = Parser(
        prog="python -m serve",
        description="Serve a language model behind an OpenAI-compatible API, inside your walls.",
        epilog=(
            "commands: `python -m serve run MODEL` chats with a model, `python -m serve chat`\n"
            "talks to a running server, `python -m serve keys` makes and revokes API keys,\n"
            "`python -m serve usage` reports who used how much,\n"
            "`python -m serve mask` tries rules of masking on a text,\n"
            "`python -m serve audit` verifies and searches audit logs,\n"
            "`python -m serve evidence` writes a signed folder for auditors,\n"
            "`python -m serve feedback` lists and counts what answers were worth,\n"
            "`python -m serve storage` backs up the database, and restores it,\n"
            "`python -m serve doctor` says what is wrong, `python -m serve wait` waits for what a\n"
            "server needs. --version names version and commit.\n"
            f"Every flag is also an environment variable ({env_of('max_model_len')}) and a key of\n"
            "the --config file (max_model_len); flags win over the environment, and that over\n"
            "the file. docs/config.md has the table."
        ),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print version and commit, and exit")
    parser.add_argument(
        "--print-config", action="store_true", help="print the settings in force as TOML, and exit"
    )
    add_settings(parser)
    return parser


def subparser(command: str, description: str, epilog: str) -> Parser:
    """The parser of a command that takes the server's settings, too."""
    return Parser(
        prog=f"python -m serve {command}",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_settings(parser: Parser) -> None:
    """Add every setting's flag, and the file that may hold them."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    group = parser.add_argument_group("what to serve")
    for name, field in Config.model_fields.items():
        if name in GROUPS and name != "model":
            group = parser.add_argument_group(GROUPS[name])
        _add(group, name, field)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parsed flags; settings that were not given are absent from ``settings(namespace)``."""
    return parse_with(build_parser(), argv)


def parse_with(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """Parsed flags of any parser.

    Raises:
        StartupError: a flag is unknown; the message names similar ones.
    """
    namespace, unknown = parser.parse_known_args(list(argv))
    if unknown:
        word = unknown[0].split("=", 1)[0]
        known = dict.fromkeys(flag_of(name) for name in vars(namespace))
        raise StartupError(f"unknown argument {word!r}.{near(word, known)} See --help.")
    return namespace


def settings(namespace: argparse.Namespace) -> dict[str, Any]:
    """The settings given on the command line, by field name."""
    return {
        name: value
        for name, value in vars(namespace).items()
        if name in Config.model_fields and value is not None
    }


def _add(group: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    choices = literal_choices(field.annotation)
    shown = default_text(name, field)
    options: dict[str, Any] = {
        "dest": name,
        "default": None,
        "help": (field.description or "").replace("%", "%%") + (f" ({shown})" if shown else ""),
    }
    if choices:
        options["choices"] = choices
    elif name == "served_model_name":
        options |= {"nargs": "+", "metavar": "NAME"}
    elif name == "allowed_origins":
        options |= {"action": "extend", "nargs": "+", "metavar": "ORIGIN"}
    elif name == "lora":
        options |= {"action": "append", "metavar": "NAME=PATH"}
    elif name == "engine_arg":
        options |= {"action": "append", "metavar": "NAME=VALUE"}
    elif name in OR_AUTO:
        options["metavar"] = "INT|auto"
    elif type_name(field.annotation) == "bool":
        options["action"] = argparse.BooleanOptionalAction
    else:
        options["metavar"] = type_name(field.annotation).upper()
    group.add_argument(flag_of(name), **options)


def literal_choices(annotation: Any) -> tuple[str, ...]:
    """The words of a Literal type; empty for other types."""
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()


def type_name(annotation: Any) -> str:
    """A plain name of a field's type: int, float, str, path."""
    if isinstance(annotation, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is tuple:
        return "str"
    return "path" if annotation is Path else getattr(annotation, "__name__", "str")


def default_text(name: str, field: FieldInfo) -> str:
    """``default: VALUE``; empty where there is none or the description says it."""
    if field.default_factory is not None:
        factory = {"data_dir": ".local/share", "state_dir": ".local/state"}[name]
        return f"default: ~/{factory}/intramural"
    if name in OR_AUTO:
        return f"default: {AUTO}"
    if field.default in (None, (), PydanticUndefined):
        return ""
    return f"default: {field.default}"
