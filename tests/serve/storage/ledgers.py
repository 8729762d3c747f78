"""Ledgers for tests: entries of a few keys on a few days."""

from __future__ import annotations

import itertools
from typing import Any

from sqlalchemy import Connection, insert

from serve.storage.schema import ledger

_numbers = itertools.count()


def entry(**changed: Any) -> dict[str, Any]:
    """A row of the ledger."""
    return {
        "request_id": f"req-{next(_numbers)}",
        "finished_at_ms": 1_764_400_000_000,
        "day": "2026-11-28",
        "tenant": "ward",
        "owner": "ann",
        "key_id": "key-a",
        "model": "demo",
        "route": "/v1/chat/completions",
        "outcome": "stop",
        "prompt_tokens": 10,
        "cached_tokens": 4,
        "completion_tokens": 5,
        "reasoning_tokens": 2,
        "cost_micros": 1_500_001,
        "currency": "EUR",
        "arm": "",
    } | changed


def filling(*entries: dict[str, Any]):
    """A work that enters rows."""

    def work(connection: Connection) -> None:
        connection.execute(insert(ledger), list(entries))

    return work
