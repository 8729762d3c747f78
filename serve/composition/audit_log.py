"""A server's own audit log, opened from the settings, with all that writes to it.

::

    refusals ─┐
    calls ────┼── keeper ── the log ── tiles and checkpoints
    upkeep ───┘       contents ── journal beside it, subjects' keys
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from serve.composition.audit_witness import open_witnesses
from serve.config import Config
from serve.errors import AuditUnavailable, StartupError
from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.content.store import ContentStore
from serve.governance.audit.content.subject_keys import SubjectKeys
from serve.governance.audit.log import segments
from serve.governance.audit.log.errors import LogUnavailable
from serve.governance.audit.log.folder_lock import locked
from serve.governance.audit.log.journal import Journal
from serve.governance.audit.records.canonical import MAX_ITEMS, Record, encoded, short, shortened
from serve.governance.audit.records.durable_log import open_durable, signing_key
from serve.governance.audit.records.entry_log import EntryLog, LogAwayError
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.gap import Gap
from serve.governance.audit.records.keeper import LogKeeper
from serve.governance.audit.records.recorded_audit import RecordedAudit
from serve.governance.audit.records.refusals import Refusals
from serve.governance.audit.records.upkeep import AuditUpkeep
from serve.governance.audit.records.watched_files import WatchedFiles, digest_of_folder
from serve.governance.audit.retention import holds
from serve.observe.metrics import Metrics
from serve.setting_files import RULE_FILES
from serve.version import server_commit, server_version

if TYPE_CHECKING:
    from serve.assembly import Brought

log = logging.getLogger(__name__)

CONTENT: Final = "content"
"""Folder in a log's own: the journal of contents, and subjects' keys."""
CONTENT_SEGMENT_BYTES: Final = 16 << 20
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLog:
    """A log that is in use.

    Attributes:
        audit: of the service's calls.
        refusals: a listener of finished requests.
    """

    audit: RecordedAudit
    refusals: Refusals
    keeper: LogKeeper
    stamps: Stamps
    upkeep: AuditUpkeep
    passes: bool

    def figures(self) -> dict[str, float]:
        """Figures of the log for a scrape; without room it is as one that is away."""
        return {
            "audit_log_available": self.keeper.is_available and self.keeper.has_room,
            "audit_log_entries": self.keeper.size,
        }

    async def write(self, record: Record) -> None:
        """Write a record of the server itself.

        Raises:
            StartupError: it cannot be, and would have to be.
        """
        try:
            await self.keeper.append([encoded(record)])
        except AuditUnavailable:
            if not self.passes:
                raise StartupError(
                    "The audit log cannot be written, so this server does not start: its log has "
                    "the reason. --audit-when-unavailable pass starts without one."
                ) from None
            log.warning("not recorded", extra={"type": record["type"]})

    async def model_loaded(self, brought: Brought) -> None:
        """Record which model is about to be served. Raises StartupError."""
        adapters = {
            short(name): {
                "path": short(path),
                "digest": await asyncio.to_thread(digest_of_folder, Path(path)),
            }
            for name, path in brought.adapters.items()
        }
        listed = sorted(adapters.items())
        for start in range(0, max(1, len(listed)), MAX_ITEMS):  # an entry has room for so many
            record = self.stamps.stamped(
                "model",
                event="loaded",
                names=shortened(list(brought.names)),
                digest=brought.digest,
                scheme=brought.scheme,
                engine=brought.engine,
                dtype=brought.dtype,
                adapters=dict(listed[start : start + MAX_ITEMS]) or None,
            )
            await self.write(record)


@asynccontextmanager
async def open_server_log(
    config: Config, folder: Path, metrics: Metrics
) -> AsyncIterator[ServerLog]:
    """Open the log of this server, and look after it until the block ends.

    Raises:
        StartupError: it cannot be used.
    """
    name = log_name(config)
    own = folder / name
    key_file = signing_key(folder, name, config.audit_key_file)
    if config.audit_holds_file is not None:  # of commands: said now, not when one is to prune
        holds.load(config.audit_holds_file)

    async def opened_log() -> EntryLog:
        try:
            return await open_durable(own, key_file)
        except StartupError as error:
            raise LogAwayError(str(error)) from None

    stamps = Stamps()
    files = WatchedFiles(watched(config))
    audit = RecordedAudit(
        stamps,
        Gap(stamps, metrics),
        records_calls=config.audit_level != "none",
        is_strict=config.audit_strict,
        passes=config.audit_when_unavailable == "pass",
    )
    keeper = audit.keeper = LogKeeper(opened_log, audit.on_open, listener=metrics)
    refusals = Refusals(
        keeper, stamps, records_calls=config.audit_level != "none", listener=metrics
    )
    upkeep = AuditUpkeep(
        keeper,
        audit.open,
        refusals,
        files,
        stamps,
        folder=folder,
        min_free_bytes=config.audit_min_free_bytes,
    )
    server = ServerLog(
        audit=audit,
        refusals=refusals,
        keeper=keeper,
        stamps=stamps,
        upkeep=upkeep,
        passes=config.audit_when_unavailable == "pass",
    )
    async with (
        open_witnesses(config, own, key_file, metrics),
        _opened(server),
        _contents(config, own, name) as audit.contents,
    ):
        metrics.attach_audit(server.figures)
        await server.write(await asyncio.to_thread(_start, config, name, stamps, files))
        log.info("the audit log is written", extra={"log": name, "audit_level": config.audit_level})
        async with _looked_after(server):
            yield server


@asynccontextmanager
async def _opened(server: ServerLog) -> AsyncIterator[None]:
    """Open the log, or refuse to start without it; let go of it at the end. Raises StartupError."""
    try:
        await server.keeper.open()
    except LogAwayError as error:
        if not server.passes:
            await server.keeper.close()
            raise StartupError(f"The audit log cannot be written: {error}") from None
        log.error("starting without the audit log", extra={"reason": str(error)})  # noqa: TRY400
    try:
        yield
    finally:
        await server.keeper.close()


@asynccontextmanager
async def _looked_after(server: ServerLog) -> AsyncIterator[None]:
    task = asyncio.create_task(server.upkeep.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.refusals.finish()
        with contextlib.suppress(AuditUnavailable):
            stop = server.stamps.stamped("stop", open=len(server.audit.open))
            await server.keeper.append([encoded(stop)])


@asynccontextmanager
async def _contents(config: Config, own: Path, name: str) -> AsyncIterator[ContentStore | None]:
    """The store of contents, if the level asks for one. Raises StartupError."""
    if config.audit_content_key_file is None or config.audit_level not in ("hashed", "full"):
        yield None
        return
    folder, journal = own / CONTENT, None
    keys = SubjectKeys(folder / "keys", read_content_keys(config.audit_content_key_file))
    with contextlib.ExitStack() as held:
        try:
            segments.make_folder(folder)
            # Its own: where calls pass without the log, that may be another server's.
            held.callback(os.close, locked(folder))
            num_rewrapped = await asyncio.to_thread(keys.rewrap)
            if config.audit_level == "full":
                journal = await asyncio.to_thread(
                    Journal.open, folder / "journal", segment_bytes=CONTENT_SEGMENT_BYTES
                )
        except OSError as error:
            reason = error.strerror or error
            raise StartupError(f"Contents cannot be kept in {folder}: {reason}.") from None
        if num_rewrapped:
            log.info("subjects' keys were wrapped anew", extra={"keys": num_rewrapped})
        try:
            yield ContentStore(keys, journal, log_name=name, failures=(LogUnavailable, OSError))
        finally:
            if journal is not None:
                await journal.close()


def log_name(config: Config) -> str:
    """The name of this server's log: of the settings, or the machine's."""
    if config.audit_name is not None:
        return config.audit_name
    name = _NOT_OF_A_NAME.sub("-", socket.gethostname().lower()).strip("-._")
    return name[:63] or "server"


def watched(config: Config) -> dict[str, Path]:
    """Files of rules and keys that the settings name, by the names of their settings."""
    named = {name: getattr(config, name) for name in sorted(RULE_FILES)}
    return {name: path for name, path in named.items() if path is not None}


def settings_of(config: Config) -> dict[str, Any]:
    """All settings as JSON has them. None of them holds a secret: those are in files."""
    return config.model_dump(mode="json")


def _start(config: Config, name: str, stamps: Stamps, files: WatchedFiles) -> Record:
    """The record of a start: version, settings, and digests of the files that they name. Blocks."""
    settings = settings_of(config)
    given = {
        field: short(str(settings[field]))
        for field, info in type(config).model_fields.items()
        if settings[field] is not None
        and getattr(config, field) != info.get_default(call_default_factory=True)
    }
    digest = hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return stamps.stamped(
        "start",
        log=name,
        version=server_version(),
        commit=server_commit(),
        pid=os.getpid(),
        level=config.audit_level,
        strict=config.audit_strict,
        when_unavailable=config.audit_when_unavailable,
        config=f"sha256:{digest}",
        settings=given,
        files=files.digests(),
    )
