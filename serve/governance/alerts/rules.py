"""Rules: which thresholds of a budget a settlement has crossed.

Pure functions of what was settled before and after. Who settles calls them in that transaction and
puts what they give into the outbox (serve/storage/alert_outbox.py), so that an alert is there
exactly if its settlement is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.rules.names import printable
from serve.storage.alert_outbox import MAX_TEXT_CHARS, Alert

KIND: Final = "budget.threshold"
FIELDS: Final = frozenset(
    {"type", "account", "tenant", "threshold_percent", "limit", "used", "id", "created_at"}
)
"""All that an alert tells: whole numbers, and ids that the operator gave."""


def crossed(
    name: str,
    limit: int,
    before: int,
    after: int,
    thresholds: Sequence[int],
    *,
    tenant: str = "",
    owner: str = "",
) -> list[Alert]:
    """Alerts for the thresholds that lie between two sums.

    Args:
        name: the account's, with its period: the same threshold of another period is told again.
        limit: of the account. A limit that was changed since is told of again.
        before: settled before, in the unit of the limit.
        after: settled after.
        thresholds: percent of the limit.

    Returns:
        An alert for each, the lowest first. None where the limit is 0: nothing can be spent of it.
    """
    if limit <= 0:
        return []
    name, tenant = _id(name), _id(tenant)
    return [
        Alert(
            subject=f"{name} {percent}% of {limit}",
            tenant=tenant,
            owner=owner,
            fields={
                "type": KIND,
                "account": name,
                "tenant": tenant,
                "threshold_percent": percent,
                "limit": limit,
                "used": after,
            },
        )
        for percent in sorted(set(thresholds))
        if before * 100 < percent * limit <= after * 100
    ]


def _id(text: str) -> str:
    """The text as an alert may hold it: a settlement must not fail for a name."""
    return printable(text)[:MAX_TEXT_CHARS]
