"""The settings from all their sources, or which source has what is wrong.

Precedence: flags, then environment (prefix ``INTRAMURAL_``), then the file given with ``--config``
(TOML), then defaults.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models import plain_file
from serve.config import Config
from serve.environment import is_service_address, operator_environment
from serve.errors import StartupError
from serve.setting_names import ENV_PREFIX, env_of, flag_of
from serve.suggestion import near

_SEPARATORS = {"served_model_name": ",", "engine_arg": " ", "lora": ",", "allowed_origins": ","}
"""The separator of values in one environment variable, for settings that have several."""


MAX_FILE_BYTES = 1 << 20

_SERVICE = re.compile(
    r"(.+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)"
    r"|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT(_START|_END)?|ADDR))?"
    r"|ENV_.+)"
)


def load_config(
    flags: Mapping[str, Any], *, file: Path | None = None, env: Mapping[str, str] | None = None
) -> Config:
    """The configuration from all sources.

    Args:
        flags: values given on the command line, by field name.
        file: TOML file of field names; dashes and underscores are the same.
        env: the process environment unless given.

    Raises:
        StartupError: an unknown name, a value out of range, or an unreadable file; it names the
            source and the nearest known name.
    """
    env = operator_environment() if env is None else env
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, values in (
        (f"config file {file}", _from_file(file)),
        ("environment", _from_env(env)),
        ("command line", dict(flags)),
    ):
        merged |= values
        origin |= dict.fromkeys(values, source)
    try:
        return Config(**merged)
    except ValidationError as error:
        raise StartupError(_explain(error, origin)) from None


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        values = tomllib.loads(plain_file.read_text(file, MAX_FILE_BYTES, may_be_link=True))
    except OSError as error:
        raise StartupError(
            f"config file {file} cannot be read: {error.strerror or error}. It is a TOML file of "
            "settings, as --print-config prints one."
        ) from None
    except RecursionError:
        raise StartupError(f"config file {file} cannot be read: it is nested too deeply") from None
    except ValueError as error:  # a number of too many digits is a plain ValueError
        reason = error if isinstance(error, tomllib.TOMLDecodeError) else "a number is too long"
        raise StartupError(f"config file {file} cannot be read: not TOML: {reason}") from None
    named = {key.replace("-", "_"): value for key, value in values.items()}
    for name in named:
        if name not in Config.model_fields:
            raise StartupError(
                f"config file {file}: unknown setting {name!r}.{near(name, Config.model_fields)}"
            )
    return named


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    known = {env_of(name): name for name in Config.model_fields}
    for variable, value in env.items():
        spelt = variable.upper()
        if not spelt.startswith(ENV_PREFIX) or _is_of_a_service(variable, value):
            continue
        if variable not in known:
            raise StartupError(f"environment: unknown setting {variable}.{near(spelt, known)}")
        name = known[variable]
        separator = _SEPARATORS.get(name)
        values[name] = tuple(value.split(separator.strip() or None)) if separator else value
    return values


def _is_of_a_service(variable: str, value: str) -> bool:
    """Whether Kubernetes or docker set it, for a service or a container called like us.

    Both put the address of each service into the environment of all that start after it, under its
    name in upper case.
    """
    name = variable.removeprefix(ENV_PREFIX)
    if name.endswith("PORT") and is_service_address(value):
        return True
    return _SERVICE.fullmatch(name) is not None


_WITH_PASSWORD = re.compile(r"://[^/]*@")
"""A URL that may hold a password, and is repeated nowhere."""


def _explain(error: ValidationError, origin: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:  # several settings that do not go together; it names them
            lines.append(message)
            continue
        name = str(problem["loc"][0])
        where = origin.get(name, "default")
        given = problem["input"]
        is_shown = not _WITH_PASSWORD.search(str(given))
        shown = f", not {given!r}" if is_shown else ""
        lines.append(f"{flag_of(name)} ({where}): {message}{shown}")
    return "\n".join(lines)
