"""Figures of the audit log: asked for on a scrape, or counted as it is written."""

from __future__ import annotations

from serve.observe.metrics import Metrics
from tests.serve.observe.test_metrics import scrape


def test_a_log_s_own_figures_are_asked_for_on_each_scrape():
    metrics = Metrics()
    size = [7.0]
    metrics.attach_audit(lambda: {"audit_log_entries": size[0]})
    assert scrape(metrics)["audit_log_entries"] == 7
    size[0] = 8.0
    found = scrape(metrics)
    assert found["audit_log_entries"] == 8
    lost = {found[f'audit_lost_total{{type="{kind}"}}'] for kind in ("refused", "login_failed")}
    assert lost == {0}


def test_what_is_written_lost_and_passed_is_counted():
    metrics = Metrics()
    metrics.audit_written(3, 0.25)
    metrics.audit_lost("refused")
    metrics.audit_passed()
    found = scrape(metrics)
    assert found["audit_write_seconds_count"] == 1
    assert found["audit_write_seconds_sum"] == 0.25
    assert found['audit_lost_total{type="refused"}'] == 1
    assert found["audit_unrecorded_total"] == 1


def test_witnesses_are_told_of_once_there_are_some():
    metrics = Metrics()
    assert "audit_cosigned_entries" not in scrape(metrics)
    metrics.attach_witnesses()
    metrics.audit_witness_asked("cosigned")
    metrics.audit_cosigned(9)
    found = scrape(metrics)
    assert found["audit_cosigned_entries"] == 9
    outcomes = {"cosigned": 1, "away": 0, "refused": 0}
    assert {
        name: found[f'audit_witness_requests_total{{outcome="{name}"}}'] for name in outcomes
    } == outcomes
