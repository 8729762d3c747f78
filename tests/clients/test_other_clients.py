"""The usual calls of the other clients, for `make prove`: each in an environment of its own."""

from __future__ import annotations

import pytest

from tests.clients.served import Served
from tests.clients.table import CLIENTS, calls_of

OTHERS = [client for client in CLIENTS if client not in {"openai", "openai_tools"}]


@pytest.mark.parametrize(
    ("client", "call"), [(client, call) for client in OTHERS for call in calls_of(client)]
)
def test_real_model(real: Served, client: str, call: str) -> None:
    real.check(client, call)
