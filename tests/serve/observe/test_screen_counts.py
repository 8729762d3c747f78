"""Counts of screens: there from 0 on for every rule, and one more for each hit."""

from __future__ import annotations

from serve.observe.metrics import Metrics
from tests.serve.observe.test_metrics import scrape


def of(metrics: Metrics, family: str) -> dict[str, float]:
    return {name: value for name, value in scrape(metrics).items() if name.startswith(family)}


def test_a_rule_of_the_filter_is_there_before_it_hits():
    metrics = Metrics()
    metrics.content_filter_known("arms", ["prompt", "answer"], "refuse")
    hits = of(metrics, "content_filter_hits_total")
    assert set(hits.values()) == {0}
    assert len(hits) == 3  # moderation, too
    metrics.content_filter_hit("arms", "answer", "refuse")
    metrics.content_filter_failed("prompt")
    hits = of(metrics, "content_filter_hits_total")
    assert sum(hits.values()) == 1
    label = 'content_filter_hits_total{action="refuse",direction="answer",rule="arms"}'
    assert hits[label] == 1
    assert (
        of(metrics, "content_filter_failures_total")[
            'content_filter_failures_total{direction="prompt"}'
        ]
        == 1
    )


def test_masking_counts_both_sides():
    metrics = Metrics()
    metrics.masking_known("iban", "mask")
    assert sorted(of(metrics, "masking_hits_total").values()) == [0, 0]
    metrics.masking_hit("iban", "mask", "prompts")
    metrics.masking_hit("iban", "mask", "prompts")
    assert sorted(of(metrics, "masking_hits_total").values()) == [0, 2]


def test_answers_that_a_rule_rejects_are_counted_by_what_became_of_them():
    metrics = Metrics()
    metrics.answer_rule_known("short")
    metrics.answer_rejected("short", "retried")
    found = of(metrics, "answers_rejected_total")
    assert found == {
        f'answers_rejected_total{{outcome="{outcome}",rule="short"}}': int(outcome == "retried")
        for outcome in ("retried", "refused", "passed")
    }
