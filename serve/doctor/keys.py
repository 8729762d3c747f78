"""API keys and the address that the server listens on: who could send a request."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from serve.api.http.listening import check_exposure, in_url, listening
from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine
from serve.errors import StartupError
from serve.governance.identity.jwt_settings import read_jwt_settings
from serve.governance.identity.jwt_tokens import jwks_source
from serve.governance.identity.key_file import read_keys
from serve.governance.identity.key_table import check_limits
from serve.governance.identity.pepper import opened_pepper
from serve.storage.configured import needs_database

SOON = timedelta(days=30)
CREATE_KEY = "Make one: `python -m serve keys create`."


def keys(machine: Machine) -> Finding:
    """May the key file be trusted, and does it let anybody in, today and next month?"""
    config = machine.config
    file = config.api_key_file
    try:
        check_exposure(config)
        pepper = opened_pepper(config.key_pepper_file)
        if config.jwt_file is not None:
            jwks_source(read_jwt_settings(config.jwt_file))
        if config.api_keys == "database":
            return skipped("API keys are in the database: `python -m serve keys list --database`.")
        if file is None and config.jwt_file is not None:
            return ok("Callers show tokens of the identity provider; there are no API keys.")
        if file is None and config.client_cert_map is not None:
            return skipped("There are no API keys: callers are known by their certificates.")
        if file is None:
            return skipped("There are no API keys: the server answers on loopback only.")
        entries = read_keys(file, pepper)
        if not needs_database(config):
            check_limits(entries)
    except StartupError as error:
        summary, _, advice = str(error).partition(". ")
        return failure(f"{summary.rstrip('.')}.", advice)
    if (writable := _writable_by_others(file.resolve().parent)) is not None:
        return failure(
            f"Anyone may replace the key file: {writable} is writable for all.",
            f"Run: chmod o-w {writable}",
        )
    enabled = [entry for entry in entries if entry.state == "enabled"]
    if not enabled:
        return failure(f"None of the {len(entries)} keys is enabled: nobody gets in.", CREATE_KEY)
    now = datetime.now(UTC)
    soon = [entry for entry in enabled if entry.expires_at and entry.expires_at - now < SOON]
    if soon:
        first = min(soon, key=lambda entry: entry.expires_at or now)
        return warning(
            f"{len(soon)} of {len(enabled)} keys expire within {SOON.days} days, the first "
            f"({first.name or first.key_id}) on {first.expires_at:%Y-%m-%d}.",
            "Make new ones and hand them out: `python -m serve keys create`.",
        )
    return ok(f"{len(enabled)} keys are enabled, {len(entries) - len(enabled)} are not.")


def address(machine: Machine) -> Finding:
    """Could a server listen where the settings say?"""
    config = machine.config
    try:
        with listening(config.host, config.port):
            pass
    except StartupError as error:
        summary, _, advice = str(error).partition(". ")
        return failure(summary[:1].upper() + summary[1:] + ".", advice)
    return ok(f"{in_url(config.host)}:{config.port} is free.")


def _writable_by_others(folder: Path) -> Path | None:
    """The folder, or one around it, in which everybody may replace what is there."""
    for candidate in (folder, *folder.parents):
        mode = candidate.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return candidate
    return None
