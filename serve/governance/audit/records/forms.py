"""The forms of records: one function for each type, with all that it says (docs/audit.md).

No record holds text of a prompt or an answer. Names are those that the operator gave, or of routes,
rules and errors of ours; an address is the caller's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Any, Final, Literal

from serve import timeline
from serve.engine.protocol import SamplingParams
from serve.governance.audit.content.subjects import key_subject, owner_subject
from serve.governance.audit.records.canonical import Record, short, shortened
from serve.governance.principal import Principal
from serve.observe.record import RequestRecord
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation

VERSION: Final = 1
Outcome = Literal["done", "error", "disconnected", "interrupted", "not_run", "unknown"]
"""Ends of a call. ``interrupted``: its server died. ``not_run``: it was given up before it ran.
``unknown``: it ran, and the log was away.
"""

_TOLD: Final = frozenset({"stop_token_ids", "allowed_token_ids", "bad_words", "logit_bias"})
"""Parameters whose size is told only: they may be long, or name words."""


class Stamps:
    """The beginning of every record: its type, both clocks and the process that wrote it.

    Args:
        wall: seconds since 1970.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self.run = secrets.token_hex(8)
        self._wall = wall
        self._clock = clock

    def stamped(self, kind: str, **values: Any) -> Record:
        """A record of this type and moment. Values that are None are left out."""
        at = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="microseconds")
        record: Record = {
            "v": VERSION,
            "type": kind,
            "at": at.replace("+00:00", "Z"),
            "mono_us": int(self._clock() * 1e6),
            "run": self.run,
        }
        record.update((name, value) for name, value in values.items() if value is not None)
        return record


def who(principal: Principal) -> Record:
    """A caller, as records name it."""
    told = {"key": principal.key_id, "name": principal.name, "tenant": principal.tenant}
    return {name: short(text) for name, text in told.items()} | (
        {"owner": short(principal.owner)} if principal.owner else {}
    )


def subject_of(principal: Principal) -> str:
    """The subject of a caller's contents: the tenant's owner, or the key where nobody is named."""
    if principal.owner:
        return owner_subject(principal.tenant, principal.owner)
    return key_subject(principal.key_id)


def begin(
    stamps: Stamps,
    principal: Principal,
    record: RequestRecord,
    generation: Generation,
    *,
    digest: str | None,
    content: Record | None,
) -> Record:
    """A call that is about to run.

    Args:
        digest: of the model's files, as they were proven.
        content: what is said of its prompt; None at the level ``metadata``.
    """
    model = {"name": record.model} | ({"digest": digest} if digest else {})
    return stamps.stamped(
        "begin",
        id=record.request_id,
        who=who(principal),
        client=record.client,
        call={
            "method": record.method,
            "route": record.route,
            "stream": record.is_stream,
            "class": record.request_class,
        },
        model=model,
        prompts=len(generation.prompts),
        prompt_tokens=record.timeline.usage.prompt_tokens,
        params=params(generation),
        verdicts=shortened(record.verdicts) or None,
        content=content,
    )


def end(
    stamps: Stamps,
    record: RequestRecord,
    *,
    index: int,
    chunks: int | None,
    content: Record | None,
    is_late: bool = False,
) -> Record:
    """The end of a call that began.

    Args:
        index: of its ``begin``.
        chunks: recorded one by one; None where they were not.
        content: what is said of its answer; None at the level ``metadata``.
        is_late: it was over before the log could be written again.
    """
    times, usage = record.timeline, record.timeline.usage
    return stamps.stamped(
        "end",
        id=record.request_id,
        begin=index,
        outcome=outcome(record),
        finish=times.finish_reason,
        error=record.error_code,
        tokens={
            "prompt": usage.prompt_tokens,
            "completion": usage.completion_tokens,
            "cached": usage.cached_tokens,
            "reasoning": usage.reasoning_tokens,
        },
        ms=_milliseconds(record),
        verdicts=shortened(record.verdicts) or None,
        chunks=chunks,
        content=content,
        late=is_late or None,
    )


def outcome(record: RequestRecord) -> Outcome:
    """The way in which it ended, as far as its server knows."""
    if record.error_code is not None:
        return "error"
    if record.is_disconnected:
        return "disconnected"
    return "done" if record.timeline.finish_reason is not None else "unknown"


def ended_without(stamps: Stamps, request_id: str, index: int, outcome: Outcome) -> Record:
    """The end of a call that nobody saw to its end."""
    return stamps.stamped("end", id=request_id, begin=index, outcome=outcome)


def refused(stamps: Stamps, record: RequestRecord) -> Record:
    """A call of a caller who was known, which did not run."""
    return stamps.stamped(
        "refused",
        id=record.request_id,
        who={"key": short(record.key_id or ""), "tenant": short(record.tenant or "")}
        | ({"owner": short(record.owner)} if record.owner else {}),
        client=record.client,
        call={"method": record.method, "route": record.route},
        model=None if record.model is None else {"name": short(record.model)},
        status=record.status,
        error=record.error_code,
        verdicts=shortened(record.verdicts) or None,
    )


def login_failed(stamps: Stamps, record: RequestRecord) -> Record:
    """A call of nobody who is known. What was shown is not repeated, not even in part."""
    return stamps.stamped(
        "login_failed",
        id=record.request_id,
        client=record.client,
        call={"method": record.method, "route": record.route},
        status=record.status,
        error=record.error_code,
    )


def counted(stamps: Stamps, kind: str, counts: Mapping[str, int], *, is_lost: bool) -> Record:
    """Records of a type that were not written one by one, by their error.

    Args:
        is_lost: there was no room for them, or no log; else they were too many in a short time.
    """
    top = dict(sorted(counts.items(), key=lambda item: -item[1])[:32])
    return stamps.stamped(kind, count=sum(counts.values()), errors=top, lost=is_lost or None)


def acted(
    stamps: Stamps,
    principal: Principal | None,
    record: RequestRecord,
    act: str,
    details: Mapping[str, Any],
) -> Record:
    """An administrator's act by HTTP, before it is answered."""
    return stamps.stamped(
        "admin",
        act=act,
        id=record.request_id,
        who={"key": short(record.key_id or "")} if principal is None else who(principal),
        client=record.client,
        details=dict(details) or None,
    )


def called(
    stamps: Stamps,
    principal: Principal,
    record: RequestRecord,
    status: int,
    details: Mapping[str, Any],
    *,
    digest: str | None,
) -> Record:
    """A call that ran nothing in the engine, before it is answered.

    Args:
        digest: of the files of its model, where it has one.
    """
    model = {"name": record.model} | ({"digest": digest} if digest else {})
    return stamps.stamped(
        "call",
        id=record.request_id,
        who=who(principal),
        client=record.client,
        call={"method": record.method, "route": record.route},
        model=None if record.model is None else model,
        status=status,
        details=dict(details) or None,
        verdicts=shortened(record.verdicts) or None,
    )


def params(generation: Generation) -> Record:
    """Sampling as it was asked for, where it is not the default; fractions as texts."""
    told: Record = {"n": generation.n}
    for part in fields(SamplingParams):
        value, default = getattr(generation.sampling, part.name), part.default
        if (default is not MISSING and value == default) or not _is_told(value):
            continue
        told[part.name] = _told(part.name, value)
    if generation.best_of is not None:
        told["best_of"] = generation.best_of
    if generation.stop:
        told["stop"] = len(generation.stop)
    if generation.format is not None:
        told["format"] = generation.format.kind
    if generation.tool_use is not None:
        told["tools"] = len(generation.tool_use.tools)
    return told


def _is_told(value: object) -> bool:
    return value is not None and value not in ({}, UNBOUNDED_TOKENS)


def _told(name: str, value: Any) -> Any:
    if name in _TOLD and isinstance(value, Mapping | Sequence | frozenset):
        return len(value)
    if name == "grammar":
        return str(value.kind)
    return value if isinstance(value, int) and abs(value) < 1 << 53 else str(value)


def _milliseconds(record: RequestRecord) -> Record:
    """Times since it arrived, in whole milliseconds."""
    times = record.timeline
    told = {
        "queue": times.queue_s,
        "first_token": times.ttft_s,
        "last_token": None
        if times.last_token_at is None
        else times.last_token_at - times.arrived_at,
    }
    return {name: round(each * 1000) for name, each in told.items() if each is not None}
