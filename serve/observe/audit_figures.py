"""Figures of the audit log: what was written, lost, and cosigned by witnesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import Counter, Histogram

from serve.observe.collectors import ScrapeCollector


class AuditFigures:
    """The part of the metrics that the audit log writes.

    Attributes:
        _counters, _histograms: by family; set by whoever derives from this, as ``_scraped``.
    """

    _counters: Mapping[str, Counter]
    _histograms: Mapping[str, Histogram]
    _scraped: ScrapeCollector
    _num_cosigned = 0

    def attach_audit(self, load: Callable[[], Mapping[str, float]]) -> None:
        """Ask here on scrapes for figures of the audit log, by their families' names."""
        self._scraped.figures.append(load)
        for kind in ("refused", "login_failed"):
            self._counters["audit_lost_total"].labels(type=kind)

    def audit_written(self, num_entries: int, seconds: float) -> None:  # noqa: ARG002
        """Note a write of the audit log."""
        self._histograms["audit_write_seconds"].observe(seconds)

    def attach_witnesses(self) -> None:
        """Begin to tell what witnesses say of the audit log."""
        for outcome in ("cosigned", "away", "refused"):
            self._counters["audit_witness_requests_total"].labels(outcome=outcome)
        self._scraped.figures.append(lambda: {"audit_cosigned_entries": self._num_cosigned})

    def audit_witness_asked(self, outcome: str) -> None:
        """Count a checkpoint that a witness was asked to cosign."""
        self._counters["audit_witness_requests_total"].labels(outcome=outcome).inc()

    def audit_cosigned(self, size: int) -> None:
        """Note the entries that every witness has cosigned."""
        self._num_cosigned = size

    def audit_passed(self) -> None:
        """Count what went on unrecorded while the audit log was away."""
        self._counters["audit_unrecorded_total"].inc()

    def audit_lost(self, kind: str) -> None:
        """Count a record that had no room while the audit log was away."""
        self._counters["audit_lost_total"].labels(type=kind).inc()
