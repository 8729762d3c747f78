"""Feedback as rows: one for an answer, which must be a row of the ledger of the same caller.

Pages go by time of the first writing and by id, so that one begins after the last row of the one
before, whatever was written or changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, or_, select
from sqlalchemy import update as sql_update

from serve.storage.clock import now_ms
from serve.storage.feedback_values import (
    ANSWERED,
    MAX_GROUPS,
    MAX_ROWS,
    Asker,
    FailedCall,
    FeedbackCounts,
    FeedbackFilter,
    FeedbackRow,
    Position,
)
from serve.storage.schema import feedback, ledger


def put(
    connection: Connection,
    asker: Asker,
    *,
    request_id: str,
    key_id: str,
    score_milli: int,
    labels: str,
    sealed_text: str,
) -> tuple[FeedbackRow, bool] | FailedCall | None:
    """Write feedback on an answer, in the place of what was written on it before.

    Returns:
        The row, and whether it is the first one; None where no such call is the asker's.
    """
    answer = connection.execute(
        select(ledger.c.model, ledger.c.arm, ledger.c.outcome).where(
            ledger.c.request_id == request_id, *_is_of(asker)
        )
    ).first()
    if answer is None:
        return None
    if answer.outcome not in ANSWERED:
        return FailedCall(answer.outcome)
    before = connection.execute(
        select(feedback.c.created_at_ms).where(feedback.c.request_id == request_id)
    ).first()
    now = now_ms(connection)
    row = FeedbackRow(
        request_id=request_id,
        tenant=asker.tenant,
        owner=asker.owner,
        key_id=key_id,
        model=answer.model,
        arm=answer.arm,
        score_milli=score_milli,
        labels=labels,
        sealed_text=sealed_text,
        created_at_ms=now if before is None else before.created_at_ms,
        changed_at_ms=now,
    )
    if before is None:
        connection.execute(insert(feedback).values(**asdict(row)))
    else:
        change = sql_update(feedback).where(feedback.c.request_id == request_id)
        connection.execute(change.values(**asdict(row)))
    return row, before is None


def take_back(connection: Connection, asker: Asker, request_id: str) -> bool:
    """Delete the feedback on an answer. Returns whether the answer is the asker's."""
    mine = select(ledger.c.request_id).where(ledger.c.request_id == request_id, *_is_of(asker))
    if connection.execute(mine).first() is None:
        return False
    connection.execute(delete(feedback).where(feedback.c.request_id == request_id))
    return True


def forget(connection: Connection, *, tenant: str, owner: str) -> int:
    """Delete all feedback of one owner. Returns how much there was."""
    mine = and_(feedback.c.tenant == tenant, feedback.c.owner == owner)
    count = connection.execute(select(func.count()).select_from(feedback).where(mine)).scalar_one()
    connection.execute(delete(feedback).where(mine))
    return int(count)


def page(
    connection: Connection, chosen: FeedbackFilter, *, limit: int, after: Position | None = None
) -> tuple[list[FeedbackRow], bool]:
    """A page of rows, oldest first, and whether there are more behind it.

    Raises:
        ValueError: the limit is out of its range.
    """
    if not 1 <= limit <= MAX_ROWS:
        raise ValueError(f"a page has 1 to {MAX_ROWS} rows, not {limit}")
    columns = [feedback.c[field.name] for field in fields(FeedbackRow)]
    at, name = feedback.c.created_at_ms, feedback.c.request_id
    query = select(*columns).where(*_holds(chosen)).order_by(at, name)
    if after is not None:
        query = query.where(or_(at > after[0], and_(at == after[0], name > after[1])))
    found = connection.execute(query.limit(limit + 1)).mappings().all()
    return [FeedbackRow(**row) for row in found[:limit]], len(found) > limit


def counts(connection: Connection, chosen: FeedbackFilter) -> list[FeedbackCounts]:
    """Counts for each model and arm, in their order; at most MAX_GROUPS."""
    keys = (feedback.c.model, feedback.c.arm)
    score = feedback.c.score_milli
    query = (
        select(
            *keys,
            func.count(),
            _number_where(score > 0),
            _number_where(score < 0),
            _number_where(feedback.c.sealed_text != ""),
            func.coalesce(func.sum(score), 0),
        )
        .where(*_holds(chosen))
        .group_by(*keys)
        .order_by(*keys)
        .limit(MAX_GROUPS)
    )
    names = [field.name for field in fields(FeedbackCounts)]
    return [
        FeedbackCounts(**dict(zip(names, [*row[:2], *map(int, row[2:])], strict=True)))
        for row in connection.execute(query)
    ]


def _number_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _is_of(asker: Asker) -> Sequence[ColumnElement[bool]]:
    own = [ledger.c.tenant == asker.tenant, ledger.c.owner == asker.owner]
    if asker.key_id is not None:
        own.append(ledger.c.key_id == asker.key_id)
    return own


def _holds(chosen: FeedbackFilter) -> Sequence[ColumnElement[bool]]:
    wanted = {
        feedback.c.tenant: chosen.tenant,
        feedback.c.owner: chosen.owner,
        feedback.c.model: chosen.model,
        feedback.c.arm: chosen.arm,
    }
    found = [column == value for column, value in wanted.items() if value is not None]
    if chosen.since_ms is not None:
        found.append(feedback.c.created_at_ms >= chosen.since_ms)
    if chosen.until_ms is not None:
        found.append(feedback.c.created_at_ms < chosen.until_ms)
    return found
