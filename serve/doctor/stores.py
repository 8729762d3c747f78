"""The stores: the database, the server of counters, and the file of usage that waits for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine
from serve.doctor.memory import gb
from serve.errors import StartupError
from serve.governance.limits import spool as spools
from serve.storage.configured import needs_database, place_of
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.probing import CacheState, probe_cache, probe_database
from serve.storage.urls import read_cache_url

LEAST_FREE_BYTES: Final = 1 << 30
NO_FREE_BYTES: Final = 128 << 20
OLDEST: Final = {"redis": (6, 2), "valkey": (7, 2)}
"""Oldest versions that the counters are tested with."""
CACHE_URL = "The file holds one line, valkeys://USER:PASSWORD@HOST:PORT/0, and has mode 600."
MIGRATE = "Run `python -m serve storage migrate`, or start a server: it does the same."


def database(machine: Machine) -> Finding:
    """Can the database be reached, and are its tables those of this version?"""
    if not needs_database(machine.config):
        return skipped("Nothing that is set needs a database.")
    try:
        place = place_of(machine.config)
        state = probe_database(place)
    except StartupError as error:
        return failure(_sentence(error), "Is it up, and may this user use it?")
    if state is None or state.revision is None:
        return ok(f"{_upper(str(place))} has no tables yet: the first start makes them.")
    if state.revision != state.newest:
        summary = f"{_upper(str(place))} has tables of revision {state.revision}, "
        return warning(f"{summary}and this version works with {state.newest}.", MIGRATE)
    return ok(f"{_upper(str(place))} answers; its tables are of revision {state.revision}.")


def space(machine: Machine) -> Finding:
    """Is there room for the database's file, and for usage that waits?"""
    if not needs_database(machine.config):
        return skipped("Nothing that is set keeps state that grows.")
    folder = _existing(machine.config.state_dir)
    free = shutil.disk_usage(folder).free
    summary = f"{gb(free)} are free in {folder}."
    advice = "Make room, or name another folder: --state-dir."
    if free < NO_FREE_BYTES:
        return failure(summary, advice)
    return ok(summary) if free >= LEAST_FREE_BYTES else warning(summary, advice)


def cache(machine: Machine) -> Finding:
    """Does the server of counters answer, and does it forget nothing?"""
    if machine.config.cache_url_file is None:
        return skipped("No server counts for several replicas: --cache-url-file names one.")
    try:
        server = read_cache_url(machine.config.cache_url_file)
    except StartupError as error:
        return failure(_sentence(error), CACHE_URL)
    try:
        state = probe_cache(server)
    except StoreUnavailable as error:
        return failure(
            f"{server.name}: {error}. Each replica counts for itself.",
            "Is it up, and do user and password in the file let in?",
        )
    config = machine.config
    kept = config.response_cache_bytes if config.response_cache == "shared" else 0
    return _judged(server.name, state, kept)


def spool(machine: Machine) -> Finding:
    """Does usage wait that the database should have?"""
    folder = machine.config.state_dir
    waiting = sum(path.stat().st_size for path in folder.glob(spools.NAME.format("*")))
    rejected = folder / spools.REJECTED
    if rejected.exists() and rejected.stat().st_size:
        return warning(
            f"{rejected} has usage that no ledger takes.", "Read it: it is in no report and bill."
        )
    if not waiting:
        return ok("No usage waits for the database.")
    summary = f"{gb(waiting)} of usage wait for the database, of {gb(spools.MAX_BYTES)} at most."
    advice = "Look at the check of the database: when that answers, what waits is sent."
    if waiting > spools.MAX_BYTES // 2:
        return failure(summary, advice)
    return warning(summary, advice)


def _judged(name: str, state: CacheState, answer_bytes: int) -> Finding:
    """Judge a server that is to hold so many bytes of kept answers beside its counters."""
    version = ".".join(map(str, state.version))
    summary = f"{name} answers: {state.product} {version}, {state.policy or 'unknown policy'}."
    oldest = OLDEST[state.product]
    if state.version < oldest:
        return warning(summary, f"Take {state.product} {'.'.join(map(str, oldest))} or newer.")
    if state.max_bytes and state.policy != "noeviction":
        return warning(
            summary,
            "A full server forgets counters, and limits begin anew: set `maxmemory-policy "
            "noeviction`.",
        )
    if 0 < state.max_bytes < 2 * answer_bytes:
        return warning(
            f"{summary} It takes {gb(state.max_bytes)}, and kept answers up to {gb(answer_bytes)}.",
            "A full server counts nothing: raise `maxmemory` to twice that, or lower "
            "--response-cache-bytes.",
        )
    return ok(summary)


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _sentence(error: StartupError) -> str:
    return f"{_upper(str(error)).rstrip('.')}."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
