"""Counts of what screens found: masking, the content filter, and rules for answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Counter


class ScreenCounts:
    """The part of the metrics that screens write. Names of rules are the operator's, no client's.

    Attributes:
        _counters: by family; set by whoever derives from this.
    """

    _counters: Mapping[str, Counter]

    def content_filter_known(self, rule: str, directions: Iterable[str], action: str) -> None:
        """Begin to count for a rule of the content filter, from 0 on."""
        for direction in (*directions, "moderation"):
            self._counters["content_filter_hits_total"].labels(
                rule=rule, direction=direction, action=action
            )
            self._counters["content_filter_failures_total"].labels(direction=direction)

    def answer_rule_known(self, rule: str) -> None:
        """Begin to count for a rule that rejects answers, from 0 on."""
        for outcome in ("retried", "refused", "passed"):
            self._counters["answers_rejected_total"].labels(rule=rule, outcome=outcome)

    def content_filter_hit(self, rule: str, direction: str, action: str) -> None:
        """Count a hit of the content filter. The name is one of its file's, not a client's."""
        self._counters["content_filter_hits_total"].labels(
            rule=rule, direction=direction, action=action
        ).inc()

    def content_filter_failed(self, direction: str) -> None:
        """Count what the content filter could not look at."""
        self._counters["content_filter_failures_total"].labels(direction=direction).inc()

    def answer_rejected(self, rule: str, outcome: str) -> None:
        """Count an answer that its rule does not take: retried, refused or passed."""
        self._counters["answers_rejected_total"].labels(rule=rule, outcome=outcome).inc()

    def masking_known(self, rule: str, action: str) -> None:
        """Begin to count for a rule of masking, from 0 on."""
        for side in ("prompts", "answers"):
            self._counters["masking_hits_total"].labels(rule=rule, action=action, side=side)
            self._counters["masking_failures_total"].labels(side=side)

    def masking_hit(self, rule: str, action: str, side: str) -> None:
        """Count a hit of masking. The name is one of ours or of its file's, not a client's."""
        self._counters["masking_hits_total"].labels(rule=rule, action=action, side=side).inc()

    def masking_failed(self, side: str) -> None:
        """Count what masking could not look at."""
        self._counters["masking_failures_total"].labels(side=side).inc()
