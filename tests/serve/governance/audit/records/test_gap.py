"""The gap: counted while nothing can be recorded, and told once."""

from __future__ import annotations

from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.gap import Gap


class Listener:
    num_passed = 0

    def audit_passed(self) -> None:
        self.num_passed += 1


def test_what_passed_is_told_once() -> None:
    listener = Listener()
    gap = Gap(Stamps(), listener)
    assert gap.take() is None
    for _ in range(3):
        gap.call_passed()
    gap.act_passed()
    gap.end_passed()
    told = gap.take()
    assert told is not None
    assert (told["calls"], told["acts"], told["late_ends"]) == (3, 1, 1)
    assert told["since"] <= told["at"]
    assert gap.take() is None
    assert listener.num_passed == 5
