"""A site's audit folder for tests: a log of calls with contents, keys, and a witness's keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from serve.cli.audit import run_audit
from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.content.sealing import Label
from serve.governance.audit.content.store import ContentStore
from serve.governance.audit.content.subject_keys import SubjectKeys
from serve.governance.audit.content.subjects import key_subject, owner_subject
from serve.governance.audit.log.journal import Journal
from serve.governance.audit.log.writer import AuditLog
from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.tlog.key_files import read_signer

NAME = "llm-0"
ORIGIN = "example.org/audit/llm-0"
START = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = (("research", "kim"), ("research", "lee"), ("legal", "kim"), ("research", ""))


@dataclass
class Site:
    """Paths of the operator's and the auditor's."""

    root: Path

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    @property
    def log(self) -> Path:
        return self.audit / NAME

    @property
    def key(self) -> Path:
        return self.root / "log.key"

    @property
    def public(self) -> Path:
        return self.root / "log.key.pub"

    @property
    def content_key(self) -> Path:
        return self.root / "content.key"

    @property
    def witness_key(self) -> Path:
        return self.root / "witness.key"

    @property
    def witness_public(self) -> Path:
        return self.root / "witness.key.pub"

    def make_keys(self) -> None:
        for words in (
            [str(self.key), "--name", ORIGIN],
            [str(self.witness_key), "--name", "witness.example.org", "--witness"],
            [str(self.content_key), "--content"],
        ):
            assert run_audit(["key", "generate", *words]) == 0

    def write(self, entries: Sequence[bytes]) -> None:
        """Append entries with the server's writer."""

        async def append() -> None:
            signer = read_signer(self.key)
            log = AuditLog.open(self.log, origin=ORIGIN, signer=signer)
            await log.append(list(entries))
            await log.close()

        asyncio.run(append())

    def documents(self, texts: Sequence[tuple[str, str, str]]) -> list[dict[str, Any]]:
        """Keep contents: subject, request and text of each; returns their notes."""

        async def keep() -> list[dict[str, Any]]:
            keys = SubjectKeys(self.log / "content/keys", read_content_keys(self.content_key))
            journal = Journal.open(self.log / "content/journal", segment_bytes=4096)
            store = ContentStore(keys, journal, log_name=NAME)
            notes = []
            for number, (subject, request_id, text) in enumerate(texts):
                label = Label(log=NAME, request_id=request_id, kind="prompt", number=number)
                key = await store.key_of(subject)
                notes += await store.noted(key, [(label, json.dumps({"text": text}).encode())])
            await journal.close()
            return notes

        self.log.mkdir(parents=True, exist_ok=True)
        return asyncio.run(keep())


def call(number: int, note: dict[str, Any] | None = None, *, day: int = 0) -> list[bytes]:
    """The begin and the end of a call; the begin's index is twice its number."""
    tenant, owner = PEOPLE[number % len(PEOPLE)]
    at = START + timedelta(days=day, seconds=number)
    stamp = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    who = {"key": f"k{number % 4}", "name": "a key", "tenant": tenant}
    if owner:
        who["owner"] = owner
    shared = {"v": 1, "at": stamp, "mono_us": number, "run": "r", "id": f"req-{number}"}
    begin = {
        **shared,
        "type": "begin",
        "who": who,
        "client": "127.0.0.1",
        "call": {"method": "POST", "route": "/v1/chat/completions"},
        "model": {"name": "tiny"},
    }
    if note is not None:
        begin["content"] = note
    outcome = "error" if number % 10 == 9 else "done"
    end = {**shared, "type": "end", "begin": 2 * number, "outcome": outcome}
    if outcome == "error":
        end["error"] = "engine_error"
    end["tokens"] = {"prompt": 5, "completion": number, "cached": 0, "reasoning": 0}
    return [encoded(begin), encoded(end)]


def calls(num: int, first: int = 0, *, per_day: int = 0) -> list[bytes]:
    """Entries of so many calls, all on one day or so many a day."""
    return [
        entry
        for number in range(first, first + num)
        for entry in call(number, day=number // per_day if per_day else 0)
    ]


def subject_of(number: int) -> str:
    tenant, owner = PEOPLE[number % len(PEOPLE)]
    return owner_subject(tenant, owner) if owner else key_subject(f"k{number % 4}")
