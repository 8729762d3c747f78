"""Refusals: whose call did not run, and who is not known; never what ran, and nothing of probes."""

from __future__ import annotations

from typing import Any

import pytest

from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.recorded_audit import RecordedAudit
from serve.governance.audit.records.refusals import MOST_FAILED, Refusals
from serve.observe.record import RequestRecord
from serve.timeline import Timeline
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of


def record(**fields: Any) -> RequestRecord:
    given = {"request_id": "req-1", "method": "POST", "route": "/v1/x", "status": 400} | fields
    return RequestRecord(timeline=Timeline(arrived_at=0.0), **given)


async def refusals_of(log: MemoryLog, **options: Any) -> tuple[Refusals, RecordedAudit]:
    audit = await audit_of(log)
    return Refusals(audit.keeper, Stamps(), **options), audit


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"key_id": "k", "status": 404, "error_code": "model_not_found"}, "refused"),
        ({"key_id": "k", "status": 499, "is_disconnected": True}, "refused"),
        ({"key_id": "k", "status": 503, "error_code": "queue_full"}, "refused"),
        ({"status": 401, "error_code": "invalid_api_key"}, "login_failed"),
        ({"status": 401, "error_code": "invalid_client"}, "login_failed"),
        ({"status": 403, "error_code": "forbidden"}, "login_failed"),
        ({"status": 400, "error_code": "headers_too_large"}, None),
        ({"key_id": "k", "status": 200}, None),
        ({"key_id": "k", "status": 500, "audit_index": 7}, None),
        ({"key_id": "k", "status": 503, "route": "/readyz"}, None),
    ],
)
async def test_who_is_recorded(fields: dict[str, Any], kind: str | None) -> None:
    log = MemoryLog()
    refusals, _ = await refusals_of(log)
    refusals.request_finished(record(**fields))
    await refusals.flush()
    assert log.types == ([kind] if kind else [])


async def test_what_ran_unrecorded_is_the_gaps() -> None:
    log = MemoryLog()
    refusals, _ = await refusals_of(log)
    ran = record(key_id="k", status=500)
    ran.timeline.submitted_at = 1.0
    refusals.request_finished(ran)
    await refusals.flush()
    assert log.types == []


async def test_failed_logins_are_recorded_where_calls_are_not() -> None:
    log = MemoryLog()
    refusals, _ = await refusals_of(log, records_calls=False)
    refusals.request_finished(record(key_id="k", status=404))
    refusals.request_finished(record(status=401, error_code="invalid_api_key"))
    await refusals.flush()
    assert log.types == ["login_failed"]


async def test_they_wait_for_a_log_that_is_away() -> None:
    log = MemoryLog()
    refusals, audit = await refusals_of(log)
    log.fails = True
    refusals.request_finished(record(key_id="k"))
    await refusals.flush()
    refusals.request_finished(record(key_id="k"))
    await refusals.flush()
    assert log.types == []
    log.fails = False
    assert await audit.keeper.come_back()
    await refusals.flush()
    assert log.types == ["recovered", "refused", "refused"]


async def test_a_flood_of_wrong_keys_is_a_count() -> None:
    log = MemoryLog()
    refusals, _ = await refusals_of(log)
    for _ in range(MOST_FAILED + 900):
        refusals.request_finished(record(status=401, error_code="invalid_api_key"))
    await refusals.finish()
    assert len(log.entries) == MOST_FAILED + 1
    assert log.records[-1]["errors"] == {"invalid_api_key": 900}
