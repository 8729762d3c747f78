"""`python -m serve keys create|list|show|rotate|revoke|limits|preset`: API keys, shown once.

What is stored of them, in a file or with --database in the database of the settings, are hashes.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models import command_line
from models.cli import output
from serve.cli.key_flags import parsed
from serve.cli.key_listing import card_of, table_of
from serve.composition.audit_acts import acting
from serve.composition.key_stores import opened_key_store
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.governance.identity import key_changes
from serve.governance.identity.key_changes import DEFAULT_OVERLAP, Keys, NewKey
from serve.governance.identity.key_entry import StoredKey
from serve.governance.identity.key_store import KeyStore
from serve.governance.identity.pepper import Pepper, opened_pepper
from serve.governance.limit_names import limit_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The store that a command works on; ``file`` is None for the database.

    Attributes:
        told: for the audit log, of what was done.
    """

    store: KeyStore
    file: Path | None
    pepper: Pepper | None
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def as_json(self) -> dict[str, str]:
        return {"file": str(self.file)} if self.file is not None else {"place": "database"}


def run_keys(argv: Sequence[str]) -> int:
    """Run one of the keys commands; returns the exit code."""
    return asyncio.run(_run(parsed(argv, __doc__)))


async def _run(arguments: argparse.Namespace) -> int:
    url_file: Path | None = arguments.database_url_file
    if url_file is not None and not arguments.database:
        raise StartupError("--database-url-file goes with --database: add that.")
    given = {} if url_file is None else {"database_url_file": url_file}
    config: Config = load_config(given, file=arguments.config)
    if arguments.database and arguments.file is not None:
        raise StartupError("--database and --file are two places: name one.")
    in_database = arguments.database or (config.api_keys == "database" and arguments.file is None)
    default = config.api_key_file or config.state_dir / "keys.json"
    file: Path | None = None if in_database else arguments.file or default
    # Whoever ends a key that leaked may not have the pepper, nor wait for who has it.
    is_revocation = arguments.command == "revoke"
    pepper_file = arguments.key_pepper_file or config.key_pepper_file
    pepper = None if is_revocation else opened_pepper(pepper_file)
    async with opened_key_store(config, file, pepper) as store:
        place = Place(store=store, file=file, pepper=pepper)
        if not _is_act(arguments):
            return await RUNS[arguments.command](place, arguments)
        details = {name: getattr(arguments, name, None) for name in RECORDED} | place.as_json
        async with acting(config, f"keys.{arguments.command}", details) as told:
            return await RUNS[arguments.command](replace(place, told=told), arguments)


def _is_act(arguments: argparse.Namespace) -> bool:
    """Whether the command changes keys."""
    if arguments.command == "limits":
        return bool(arguments.limit)
    if arguments.command == "preset":
        return arguments.preset is not None
    return arguments.command in {"create", "rotate", "revoke"}


async def _create(place: Place, arguments: argparse.Namespace) -> int:
    expires_at = None
    if arguments.expires_in_days is not None:
        expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=arguments.expires_in_days)
    _check_output()
    wish = NewKey(
        name=arguments.name,
        tenant=arguments.tenant,
        owner=arguments.owner,
        scopes=tuple(arguments.scope or key_changes.DEFAULT_SCOPES),
        models=tuple(arguments.model) if arguments.model else None,
        limits={name: value for name, value in _limits(arguments.limit) if value is not None},
        preset=arguments.preset,
        expires_at=expires_at,
    )
    entry, key = key_changes.made(wish, place.pepper)
    place.told["key"] = entry.key_id
    await place.store.change(lambda keys: (*keys, entry), may_be_new=True)

    async def take_back() -> None:
        await place.store.change(lambda keys: key_changes.without(keys, key))

    await _show_secret(key, place, take_back, is_json=arguments.json)
    if not arguments.json:
        serve = (
            "--api-keys database"
            if place.file is None
            else f"--api-key-file {shlex.quote(str(place.file))}"
        )
        pepper_file = arguments.key_pepper_file
        pepper = f" --key-pepper-file {shlex.quote(str(pepper_file))}" if pepper_file else ""
        url_file = arguments.database_url_file
        if place.file is None and url_file:
            serve += f" --database-url-file {shlex.quote(str(url_file))}"
        if place.file is not None and arguments.limit:
            serve += " --usage-ledger"  # or --limits-file: without a ledger nobody counts
        _say(f"Serve with it: python -m serve {serve}{pepper}")
    return 0


async def _rotate(place: Place, arguments: argparse.Namespace) -> int:
    overlap = DEFAULT_OVERLAP
    if arguments.overlap_hours is not None:
        overlap = dt.timedelta(hours=arguments.overlap_hours)
    _check_output()
    before: list[StoredKey] = []
    made: list[str] = []

    def edit(keys: Keys) -> Keys:
        before[:] = [key_changes.found(keys, arguments.id)]
        changed, key = key_changes.rotated(keys, arguments.id, overlap, place.pepper)
        made[:] = [key]
        return changed

    await place.store.change(edit)

    async def take_back() -> None:
        def restored(keys: Keys) -> Keys:
            # Whatever else was changed since stays, such as that it was revoked.
            return tuple(
                replace(key, secrets=before[0].secrets, rotated_at=before[0].rotated_at)
                if key.key_id == arguments.id
                else key
                for key in keys
            )

        await place.store.change(restored)

    await _show_secret(made[0], place, take_back, is_json=arguments.json)
    if not arguments.json:
        hours = overlap / dt.timedelta(hours=1)
        _say(
            f"The secret before it is good for {hours:g} more hours."
            if overlap
            else "The secret before it is good no more: running servers notice within a second."
        )
    return 0


async def _list(place: Place, arguments: argparse.Namespace) -> int:
    entries = await place.store.read()
    if arguments.json:
        print(json.dumps([entry.as_json() for entry in entries]))
    else:
        output.console().print(table_of(entries))
    return 0


async def _show(place: Place, arguments: argparse.Namespace) -> int:
    return _show_entry(key_changes.found(await place.store.read(), arguments.id), arguments)


async def _revoke(place: Place, arguments: argparse.Namespace) -> int:
    await place.store.change(
        lambda keys: key_changes.revoked(keys, arguments.id), keeps_hashes=True
    )
    if arguments.json:
        return await _show(place, arguments)
    print(f"revoked {arguments.id}; a running server notices within a second")
    return 0


async def _limit(place: Place, arguments: argparse.Namespace) -> int:
    changes = dict(_limits(arguments.limit))
    if changes:
        await place.store.change(lambda keys: key_changes.limited(keys, arguments.id, changes))
    return await _show(place, arguments)


async def _preset(place: Place, arguments: argparse.Namespace) -> int:
    wanted: str | None = arguments.preset
    if wanted is not None:
        preset = "" if wanted == "none" else wanted
        await place.store.change(lambda keys: key_changes.preset_to(keys, arguments.id, preset))
    return await _show(place, arguments)


def _show_entry(entry: StoredKey, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps(entry.as_json()))
    else:
        output.console().print(card_of(entry))
    return 0


def _limits(texts: Sequence[str] | None) -> list[tuple[str, int | str | None]]:
    try:
        found = [limit_of(text) for text in texts or ()]
    except ValueError as error:
        raise StartupError(f"A limit cannot be used: {error}.") from None
    names = [name for name, _ in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise StartupError(f"The limit {twice[0]} is given twice: give it once.")
    return found


def _check_output() -> None:
    if command_line.stdout_is_closed():
        raise StartupError("Standard output is closed, so a key could not be shown: none was made.")


async def _show_secret(
    key: str, place: Place, take_back: Callable[[], Awaitable[None]], *, is_json: bool
) -> None:
    """Print a key. One that cannot be shown is taken back.

    Raises:
        StartupError: it could not be shown.
    """
    try:
        print(json.dumps({"key": key, **place.as_json}) if is_json else key, flush=True)
    except OSError as error:
        await take_back()
        raise StartupError(
            f"The new key could not be shown ({error.strerror}), so it was taken back. "
            "Run it again."
        ) from None
    if not is_json:
        where = "the database" if place.file is None else str(place.file)
        _say(f"This is the only time the key is shown. Its hash is in {where}.")


def _say(line: str) -> None:
    output.console(stderr=True).print(
        line, style="dim", markup=False, highlight=False, soft_wrap=True
    )


RECORDED = ("id", "name", "tenant", "owner", "scope", "model", "limit", "preset")
"""Arguments that the audit log has of a command that changes keys."""
RUNS: Mapping[str, Callable[[Place, argparse.Namespace], Awaitable[int]]] = {
    "create": _create,
    "list": _list,
    "show": _show,
    "rotate": _rotate,
    "revoke": _revoke,
    "limits": _limit,
    "preset": _preset,
}
