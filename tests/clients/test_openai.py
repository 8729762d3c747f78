"""The official client's usual calls: on the demo model in every run, on a real one when proven."""

from __future__ import annotations

import pytest

from tests.clients.served import Served
from tests.clients.table import calls_of

CALLS = calls_of("openai")


@pytest.mark.parametrize("call", CALLS)
def test_demo_model(demo: Served, call: str) -> None:
    demo.check("openai", call)


@pytest.mark.parametrize("call", CALLS)
def test_real_model(real: Served, call: str) -> None:
    real.check("openai", call)
