"""Records of what runs nothing: they are somebody's."""

from __future__ import annotations

import pytest

from serve.errors import InternalError
from serve.observe.record import RequestRecord
from serve.service.call import Call
from serve.service.recording import Recorder
from serve.timeline import Timeline
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of


async def test_a_call_of_nobody_is_a_defect_and_an_act_is_not() -> None:
    log = MemoryLog()
    recorder = Recorder(await audit_of(log))
    record = RequestRecord(request_id="req-1", method="POST", timeline=Timeline(arrived_at=0.0))
    call = Call(record=record, created=0)
    with pytest.raises(InternalError):
        await recorder.called(call, 200)
    await recorder.act(call, "token.issue", {})
    assert log.types == ["admin"]
