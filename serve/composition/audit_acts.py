"""Administrators' acts by command, recorded in a log of their own beside the servers': ``cli``.

A command writes when its act begins, and how it ended. Where the first cannot be written the act is
not done, unless the settings let what cannot be recorded pass.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from serve import timeline
from serve.config import Config
from serve.errors import StartupError

log = logging.getLogger(__name__)

LOG_NAME: Final = "cli"
LOCK_PATIENCE_S: Final = 10.0
"""Seconds that a command waits for others that write."""
_PAUSE_S: Final = 0.05


@asynccontextmanager
async def acting(
    config: Config, act: str, details: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """Record an act around the block that does it. Without an audit log nothing is written.

    Args:
        act: its name, such as ``keys.create``.
        details: texts, whole numbers and lists of them; no secrets. None is left out.

    Yields:
        A table that the block may fill with what became of it.

    Raises:
        StartupError: that it begins cannot be recorded; nothing is done.
    """
    told: dict[str, Any] = {}
    await _begin(config, act, details)
    outcome = "failed"
    try:
        yield told
        outcome = "done"
    finally:
        await _end(config, act, outcome, told)


@contextmanager
def acting_in_turn(
    config: Config, act: str, details: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The same for a command without an event loop. Raises StartupError."""
    told: dict[str, Any] = {}
    if config.audit_dir is None:
        yield told
        return
    asyncio.run(_begin(config, act, details))
    outcome = "failed"
    try:
        yield told
        outcome = "done"
    finally:
        asyncio.run(_end(config, act, outcome, told))


async def _begin(config: Config, act: str, details: Mapping[str, Any]) -> None:
    asked = {name: value for name, value in details.items() if value is not None}
    passes = config.audit_when_unavailable == "pass"
    await _write(config.audit_dir, act, {"phase": "begin", "details": asked}, passes=passes)


async def _end(config: Config, act: str, outcome: str, told: Mapping[str, Any]) -> None:
    """Record how it ended. It is done: where that cannot be written, its beginning stands alone."""
    values = {"phase": "end", "outcome": outcome, "details": told}
    await _write(config.audit_dir, act, values, passes=True)


async def _write(folder: Path | None, act: str, values: Mapping[str, Any], *, passes: bool) -> None:
    if folder is None:
        return
    # Only where it is asked for: a command without an audit log starts at once.
    from serve.governance.audit.log.errors import LogInUse  # noqa: PLC0415
    from serve.governance.audit.records.canonical import encoded  # noqa: PLC0415
    from serve.governance.audit.records.durable_log import (  # noqa: PLC0415
        open_durable,
        signing_key,
    )
    from serve.governance.audit.records.entry_log import LogAwayError  # noqa: PLC0415
    from serve.governance.audit.records.forms import Stamps  # noqa: PLC0415

    until = timeline.now() + LOCK_PATIENCE_S
    entry = encoded(Stamps().stamped("admin", act=act, who=_operator(), **values))
    try:
        key_file = signing_key(folder, LOG_NAME, None)
        while True:
            try:
                opened = await open_durable(folder / LOG_NAME, key_file)
                break
            except LogInUse:
                if timeline.now() > until:
                    raise
                await asyncio.sleep(_PAUSE_S)
        try:
            await opened.append([entry])
        finally:
            await opened.close()
    except (LogAwayError, StartupError) as error:
        if not passes:
            raise StartupError(
                f"The act cannot be recorded in the audit log {folder / LOG_NAME}, so it is not "
                f"done: {error}"
            ) from None
        log.warning("not recorded in the audit log: %s", error)


def _operator() -> dict[str, Any]:
    """The person who runs this process, as the system knows them."""
    uid = os.getuid()
    told: dict[str, Any] = {"uid": uid, "host": socket.gethostname()[:255]}
    with suppress(KeyError):
        told["user"] = pwd.getpwuid(uid).pw_name
    with suppress(OSError):  # no terminal
        told["login"] = os.getlogin()
    return told
