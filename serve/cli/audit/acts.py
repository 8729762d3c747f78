"""Records of what these commands do, in a log of their own: a server's has one writer, the server.

It is the folder ``commands`` beside the servers' logs, with a key of its own.
"""

from __future__ import annotations

import asyncio
import getpass
import os
from pathlib import Path
from typing import Any, Final

from serve.errors import StartupError
from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.records.durable_log import open_durable, signing_key
from serve.governance.audit.records.entry_log import LogAwayError
from serve.governance.audit.records.forms import Stamps

NAME: Final = "commands"


def recorded(audit_dir: Path, act: str, details: dict[str, Any]) -> None:
    """Write that something is about to be done; it is durable on return.

    Raises:
        StartupError: it cannot be written, and so must not be done.
    """
    try:
        asyncio.run(_write(audit_dir, act, details))
    except (LogAwayError, StartupError) as error:
        raise StartupError(
            f"It cannot be recorded in {audit_dir / NAME}, and so is not done: {error}"
        ) from None


async def _write(audit_dir: Path, act: str, details: dict[str, Any]) -> None:
    key_file = signing_key(audit_dir, NAME, None)
    log = await open_durable(audit_dir / NAME, key_file)
    try:
        who = {"user": _user(), "uid": os.getuid()}
        record = Stamps().stamped("admin", act=act, who=who, details=details)
        await log.append([encoded(record)])
    finally:
        await log.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid of a container that no file names
        return ""
