"""The logs that a command is about, and the public keys that they are held to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serve.cli.audit.printing import remark
from serve.composition.audit_acts import LOG_NAME
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.tile_files import is_log, log_folders
from serve.governance.audit.retention.holds import Hold, load
from serve.governance.audit.tlog.key_files import read_verifiers, verifier_files
from serve.governance.audit.tlog.keys import COSIGNATURE, ED25519, NoteVerifier

PUBLIC, KEY_SUFFIX = ".pub", ".key"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlace:
    """A log's folder, and the keys that may have signed it."""

    name: str
    path: Path
    verifiers: tuple[NoteVerifier, ...]

    def opened(self) -> LogFolder:
        """The log, for reading.

        Raises:
            LogDamaged: its checkpoint does not hold.
        """
        return LogFolder(self.path, self.verifiers)


def add_place(command: argparse.ArgumentParser, *, is_positional: bool = True) -> None:
    """Flags that say which logs, and which keys."""
    if is_positional:
        command.add_argument(
            "dir", nargs="?", type=Path, metavar="DIR", help="default: the setting --audit-dir"
        )
    else:
        command.add_argument(
            "--dir", type=Path, metavar="DIR", help="default: the setting --audit-dir"
        )
    command.add_argument("--log", metavar="NAME", help="this log alone, where DIR has several")
    command.add_argument(
        "--log-key",
        action="append",
        type=Path,
        metavar="FILE",
        help="public keys of the logs, a line each, or a folder of such files, *.pub; default: "
        "those of the settings",
    )
    command.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")


def add_holds(command: argparse.ArgumentParser) -> None:
    """The flag of legal holds."""
    command.add_argument(
        "--holds",
        type=Path,
        metavar="FILE",
        help="TOML file of legal holds; default: the setting --audit-holds-file",
    )


def holds_of(arguments: argparse.Namespace) -> tuple[Hold, ...]:
    """The legal holds of the flag's file, or the setting's.

    Raises:
        StartupError: the file cannot be used.
    """
    path = arguments.holds or load_config({}, file=arguments.config).audit_holds_file
    if path is not None:
        return load(path)
    if arguments.config is None:
        remark(
            "No legal holds are known here: name them by --holds FILE, or the server's --config."
        )
    return ()


def places(arguments: argparse.Namespace) -> list[LogPlace]:
    """The logs, by name.

    Raises:
        StartupError: there is none, or no key of theirs is known.
    """
    config = load_config({}, file=arguments.config)
    base = arguments.dir or config.audit_dir
    if base is None:
        is_flag = arguments.command == "prove"
        where = "Name their folder by --dir" if is_flag else "Name their folder"
        raise StartupError(f"Which logs? {where}, or set --audit-dir in the settings.")
    if base.name in ("", ".."):
        base = base.resolve()  # a log is known by its folder's name
    paths = _paths(base, arguments.log)
    given = log_keys(arguments.log_key) if arguments.log_key else ()
    return [
        LogPlace(name=path.name, path=path, verifiers=_keys_of(config, path, given))
        for path in paths
    ]


def one_place(arguments: argparse.Namespace) -> LogPlace:
    """The one log that a command is about.

    Raises:
        StartupError: there is none, or there are several.
    """
    found = places(arguments)
    if len(found) > 1:
        names = ", ".join(place.name for place in found)
        raise StartupError(f"There are several logs ({names}): name one with --log.")
    return found[0]


def log_keys(paths: Sequence[Path]) -> tuple[NoteVerifier, ...]:
    """Public keys of logs, out of files and folders of them.

    Raises:
        StartupError: one holds none, or a witness's.
    """
    return _keys(paths, ED25519, "--log-key", "a witness's key, not a log's")


def witness_keys(paths: Sequence[Path]) -> tuple[NoteVerifier, ...]:
    """Public keys of witnesses, out of files.

    Raises:
        StartupError: one holds none, or a log's.
    """
    return _keys(paths, COSIGNATURE, "--witness-key", "a log's key, not a witness's")


def _keys(paths: Sequence[Path], kind: int, flag: str, other: str) -> tuple[NoteVerifier, ...]:
    files = [file for path in paths for file in verifier_files(path, flag)]
    found = [key for file in files for key in read_verifiers(file, flag)]
    for key in found:
        if key.kind != kind:
            raise StartupError(f"{flag}: {key.name} ({key.key_id:08x}) is {other}.")
    return tuple(dict.fromkeys(found))


def _paths(base: Path, name: str | None) -> list[Path]:
    try:
        found = [base] if is_log(base) else log_folders(base)
    except OSError as error:
        raise StartupError(f"{base} cannot be read: {error.strerror or error}.") from None
    if not found:
        raise StartupError(
            f"{base} is no audit log and has none below it: a log's folder has a checkpoint."
        )
    chosen = [path for path in found if name in {None, path.name}]
    if not chosen:
        names = ", ".join(path.name for path in found)
        raise StartupError(f"{base} has no log {name}: it has {names}.")
    return chosen


def _keys_of(
    config: Config, path: Path, given: tuple[NoteVerifier, ...]
) -> tuple[NoteVerifier, ...]:
    """The keys that a log is held to.

    They are the given ones, else the one that lies beside the log, else that of the settings. The
    log of commands has a key that commands made, beside it: whoever can write that log has it.
    """
    own = path.with_name(f"{path.name}{KEY_SUFFIX}{PUBLIC}")
    if own.exists() and (not given or path.name == LOG_NAME):
        beside = log_keys([own])
        if set(beside) <= set(given):
            return given
        remark(
            f"{path.name} is held to the key that lies beside it. An auditor names a copy of their "
            "own: --log-key FILE."
        )
        return (*given, *beside)
    if given:
        return given
    if config.audit_key_file is not None:
        return log_keys([config.audit_key_file.with_name(config.audit_key_file.name + PUBLIC)])
    raise StartupError(
        f"Which key signed {path.name}? Name its public key: --log-key FILE. It is the file "
        f"{PUBLIC} beside the key, and an auditor has a copy from the day it was made."
    )
