"""The official client's usual calls: on the demo model in every run, on a real one when proven."""

from __future__ import annotations

import pytest

from tests.clients.served import Served
from tests.clients.table import calls_of

CALLS = pytest.mark.parametrize(
    ("part", "call"),
    [(part, call) for part in ("openai", "openai_tools") for call in calls_of(part)],
)


@CALLS
def test_demo_model(demo: Served, part: str, call: str) -> None:
    demo.check(part, call)


@CALLS
def test_real_model(real: Served, part: str, call: str) -> None:
    real.check(part, call)
