"""The outbox of alerts: rows that are written with what caused them, and sent later.

A row is of one channel. It is claimed for a while before it is tried, so that of several replicas
one sends it, and one that was killed meanwhile delays it only; a receiver tells two deliveries of
one alert by its id. Rows stay after they were taken: their subjects keep them from being told
twice. Times are the store's own.

All functions run within a transaction of ``Database.write``, but for ``is_any_due`` and
``num_pending``, which only read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from serve.storage.clock import now_ms
from serve.storage.schema import alerts

DAY_MS: Final = 24 * 3600 * 1000
EXPIRE_AFTER_MS: Final = 7 * DAY_MS
"""An alert that nobody took in this time is given up."""
FORGET_AFTER_MS: Final = 70 * DAY_MS
"""Longer than the longest period of a budget, a month, so that no threshold is told twice in it."""
MAX_PURGED: Final = 1000
MAX_SUBJECT_CHARS: Final = 512
MAX_TEXT_CHARS: Final = 512
MAX_FIELDS: Final = 16

_NEVER_MS: Final = 1 << 62
_CHANNEL = re.compile(r"[a-z]{1,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert to send once.

    Attributes:
        subject: account, limit and threshold; there is never a second alert of the same.
        fields: numbers, and ids that the operator gave: all that leaves the server.
    """

    subject: str
    tenant: str
    owner: str
    fields: Mapping[str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A claimed alert.

    Attributes:
        num_tries: with the one that it was claimed for.
        created_at_ms: Unix milliseconds, of the store.
    """

    alert_id: str
    payload: str
    num_tries: int
    created_at_ms: int


def enqueue_in(connection: Connection, alert: Alert, channels: Sequence[str]) -> None:
    """Put an alert into the outbox, once for each channel; one that was told before is not told.

    Raises:
        ValueError: it holds what no alert may: long text, control characters, nested values.
    """
    _check(alert)
    now = now_ms(connection)
    for channel in channels:
        alert_id = _id_of(alert.subject, channel)
        known = select(alerts.c.alert_id).where(alerts.c.alert_id == alert_id)
        if connection.execute(known).first() is not None:  # writers are one at a time
            continue
        fields = {"id": alert_id, **alert.fields, "created_at": now // 1000}
        connection.execute(
            alerts.insert().values(
                alert_id=alert_id,
                tenant=alert.tenant,
                owner=alert.owner,
                subject=_subject_of(alert.subject, channel),
                payload=json.dumps(fields, sort_keys=True, separators=(",", ":")),
                created_at_ms=now,
                next_try_at_ms=now,
                num_tries=0,
                sent_at_ms=None,
            )
        )


def is_any_due(connection: Connection, channel: str) -> bool:
    """Whether an alert of the channel is to be tried now."""
    due = select(alerts.c.alert_id).where(_is_due(channel, now_ms(connection))).limit(1)
    return connection.execute(due).first() is not None


def num_pending(connection: Connection) -> int:
    """Alerts that nobody has taken yet and that are not given up."""
    waiting = and_(alerts.c.sent_at_ms.is_(None), alerts.c.next_try_at_ms < _NEVER_MS)
    return connection.execute(select(func.count()).where(waiting)).scalar_one()


def claim(
    connection: Connection, channel: str, *, limit: int, claim_ms: int
) -> tuple[Outgoing, ...]:
    """Take alerts that are due, the longest due first. Nobody else gets them for ``claim_ms``."""
    now = now_ms(connection)
    query = select(alerts).where(_is_due(channel, now)).order_by(alerts.c.next_try_at_ms)
    rows = connection.execute(query.limit(limit)).all()
    for row in rows:
        connection.execute(
            update(alerts)
            .where(alerts.c.alert_id == row.alert_id)
            .values(num_tries=row.num_tries + 1, next_try_at_ms=now + claim_ms)
        )
    return tuple(
        Outgoing(
            alert_id=row.alert_id,
            payload=row.payload,
            num_tries=row.num_tries + 1,
            created_at_ms=row.created_at_ms,
        )
        for row in rows
    )


def taken(connection: Connection, outgoing: Outgoing) -> None:
    """Note that a receiver has it."""
    connection.execute(
        update(alerts)
        .where(alerts.c.alert_id == outgoing.alert_id)
        .values(sent_at_ms=now_ms(connection), next_try_at_ms=_NEVER_MS)
    )


def failed(connection: Connection, outgoing: Outgoing, *, retry_in_ms: int) -> None:
    """Let it be tried again later. Does nothing where somebody else has claimed it meanwhile."""
    connection.execute(
        update(alerts)
        .where(
            alerts.c.alert_id == outgoing.alert_id,
            alerts.c.num_tries == outgoing.num_tries,
            alerts.c.sent_at_ms.is_(None),
        )
        .values(next_try_at_ms=now_ms(connection) + retry_in_ms)
    )


def tidy(connection: Connection) -> int:
    """Give up alerts that nobody took in time, and forget old ones.

    Returns:
        How many were given up.
    """
    now = now_ms(connection)
    expired = and_(
        alerts.c.sent_at_ms.is_(None),
        alerts.c.next_try_at_ms < _NEVER_MS,
        alerts.c.created_at_ms < now - EXPIRE_AFTER_MS,
    )
    given_up = connection.execute(update(alerts).where(expired).values(next_try_at_ms=_NEVER_MS))
    old = select(alerts.c.alert_id).where(alerts.c.created_at_ms < now - FORGET_AFTER_MS)
    connection.execute(delete(alerts).where(alerts.c.alert_id.in_(old.limit(MAX_PURGED))))
    return given_up.rowcount


def _is_due(channel: str, now: int) -> ColumnElement[bool]:
    """Rows of the channel whose time has come.

    A clock that was set back would hold an alert until it has caught up: what is due later than any
    delay of ours is due now.
    """
    return and_(
        alerts.c.alert_id.startswith(f"{channel}-"),
        alerts.c.sent_at_ms.is_(None),
        alerts.c.created_at_ms >= now - EXPIRE_AFTER_MS,
        or_(
            alerts.c.next_try_at_ms <= now,
            and_(alerts.c.next_try_at_ms > now + DAY_MS, alerts.c.next_try_at_ms < _NEVER_MS),
        ),
    )


def _check(alert: Alert) -> None:
    if len(alert.fields) > MAX_FIELDS or not alert.subject:
        raise ValueError("an alert has a subject, and few fields")
    for value in alert.fields.values():
        is_id = isinstance(value, str) and value.isprintable() and len(value) <= MAX_TEXT_CHARS
        if not is_id and type(value) is not int:
            raise ValueError("an alert holds whole numbers and short ids")


def _id_of(subject: str, channel: str) -> str:
    if not _CHANNEL.fullmatch(channel):
        raise ValueError("a channel's name has 1 to 16 small letters")
    return f"{channel}-{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


def _subject_of(subject: str, channel: str) -> str:
    whole = f"{channel}: {subject}"
    return whole if len(whole) <= MAX_SUBJECT_CHARS else _id_of(subject, channel)
