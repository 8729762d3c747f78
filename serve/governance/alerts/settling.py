"""Alerts of a settlement, put into the outbox in its own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serve.governance.alerts.rules import crossed
from serve.storage.alert_outbox import enqueue_in
from serve.storage.counting.counters import Balance
from serve.storage.ledger import AlsoEnter, Settlement


def alerting(thresholds: Sequence[int], channels: Sequence[str]) -> AlsoEnter:
    """A work for the ledger beside each settlement: tell of the thresholds that it crossed."""

    def enter(
        connection: Any,  # SQLAlchemy's, which lives in serve/storage
        settlement: Settlement,
        balances: Sequence[Balance],
    ) -> None:
        for claim, balance in zip(settlement.claims, balances, strict=True):
            before = balance.settled - claim.amount  # a budget does not leak
            for alert in crossed(
                claim.account,
                claim.limit,
                before,
                balance.settled,
                thresholds,
                tenant=settlement.row.tenant,
                owner=settlement.row.owner,
            ):
                enqueue_in(connection, alert, channels)

    return enter
