from __future__ import annotations

import logging
from array import array

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.engine.protocol import EngineInfo, EngineLoad, PrefixCacheLoad
from serve.errors import EngineDeadError
from serve.observe import metrics as module
from serve.observe.collectors import PooledHistogram
from serve.observe.families import BY_NAME, FAMILIES, PREFIX
from serve.observe.metrics import Metrics, error_codes
from serve.service.engine_queue import EngineQueue
from tests.serve.observe.records import finished, refused

INFO = EngineInfo(
    name="fake",
    max_model_len=64,
    max_num_seqs=4,
    kv_cache_tokens=256,
    vocab_size=10,
    eos_token_ids=frozenset({1}),
    capabilities=frozenset({"prefix_cache"}),
    dtype="float32",
    device="cpu",
)


def scrape(metrics: Metrics) -> dict[str, float]:
    """Samples as ``name{label="value"}`` without our prefix."""
    body, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=0.0.4")
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            name = sample.name.removeprefix(PREFIX) + (f"{{{labels}}}" if labels else "")
            assert name not in found
            found[name] = sample.value
    return found


def test_a_finished_request_is_counted_everywhere():
    metrics = Metrics()
    metrics.request_finished(finished())
    samples = scrape(metrics)
    route = 'method="POST",route="/v1/chat/completions",status="200"'
    assert samples[f"requests_total{{{route}}}"] == 1
    assert samples["prompt_tokens_total"] == 12
    assert samples["completion_tokens_total"] == 5
    assert samples["cached_tokens_total"] == 4
    assert samples['model_requests_total{model="demo"}'] == 1
    assert samples['model_tokens_total{kind="prompt",model="demo"}'] == 12
    assert samples['model_tokens_total{kind="completion",model="demo"}'] == 5
    assert samples["disconnects_total"] == 0
    assert samples["time_to_first_token_seconds_count"] == 1
    assert samples["time_to_first_token_seconds_sum"] == pytest.approx(0.05)
    assert samples["request_duration_seconds_sum"] == pytest.approx(0.1)
    assert samples["request_queue_seconds_sum"] == pytest.approx(0.002)
    assert samples["inter_token_latency_seconds_count"] == 4
    assert samples["inter_token_latency_seconds_sum"] == pytest.approx(3.0325)


def test_a_refusal_is_counted_and_times_nothing():
    metrics = Metrics()
    metrics.request_finished(refused())
    samples = scrape(metrics)
    assert samples['refusals_total{code="invalid_api_key"}'] == 1
    assert samples["request_duration_seconds_count"] == 0
    assert samples["prompt_tokens_total"] == 0


def test_a_probe_that_says_not_yet_is_no_refusal():
    metrics = Metrics()
    metrics.request_finished(refused(route="/readyz"))
    samples = scrape(metrics)
    assert samples['refusals_total{code="not_ready"}'] == 0
    assert sum(samples[name] for name in samples if name.startswith("refusals_total")) == 0


def test_every_refusal_is_there_before_the_first_one():
    """A rate misses what a series is born with."""
    samples = scrape(Metrics())
    assert {name for name in samples if name.startswith("refusals_total")} == {
        f'refusals_total{{code="{code}"}}' for code in error_codes()
    }


def test_the_database_is_asked_for_at_scrape_time():
    metrics = Metrics()
    assert "database_available" not in scrape(metrics)
    answers = iter([True, False])
    metrics.attach_database(lambda: next(answers))
    assert [scrape(metrics)["database_available"] for _ in range(2)] == [1, 0]


def test_the_key_file_is_asked_for_at_scrape_time():
    metrics = Metrics()
    assert "key_file_usable" not in scrape(metrics)
    answers = iter([True, False])
    metrics.attach_key_file(lambda: next(answers))
    assert [scrape(metrics)["key_file_usable"] for _ in range(2)] == [1, 0]


def test_a_disconnect_is_counted_with_the_tokens_it_used():
    metrics = Metrics()
    metrics.request_finished(finished(is_disconnected=True, status=499))
    samples = scrape(metrics)
    assert samples["disconnects_total"] == 1
    assert samples["completion_tokens_total"] == 5


def test_labels_come_from_closed_sets(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROUTES", 2)
    metrics = Metrics()
    for number in range(5):
        metrics.request_finished(
            refused(route=f"/{number}", method=f"M{number}") if number else finished(status=0)
        )
    metrics.request_finished(finished(error_code="text of a client"))
    body = metrics.render()[0].decode()
    assert 'method="M' not in body
    assert 'route="/3"' not in body
    assert 'route="other"' in body
    assert 'status="other"' in body
    assert 'code="other"' in body
    assert "text of a client" not in body


def test_the_engine_is_read_at_scrape_time():
    metrics = Metrics()
    assert "requests_running" not in scrape(metrics)
    loads = iter([(1, 2, 0.25, 10, 0), (3, 0, 0.5, 11, 1)])

    def load() -> EngineLoad:
        running, waiting, usage, steps, deaths = next(loads)
        return EngineLoad(
            num_running=running,
            num_waiting=waiting,
            kv_cache_usage=usage,
            num_steps=steps,
            num_deaths=deaths,
            num_draft_tokens=2 * steps,
            num_accepted_tokens=steps - 1,
            prefix_cache=PrefixCacheLoad(
                num_queries=100 * steps, num_hits=90 * steps, num_evictions=steps, num_blocks=5
            ),
        )

    metrics.attach_engine(load)
    metrics.attach_admission(lambda: 7)
    for running, waiting, usage, steps, deaths in ((1, 2, 0.25, 10, 0), (3, 0, 0.5, 11, 1)):
        samples = scrape(metrics)
        assert samples["requests_running"] == running
        assert samples["requests_waiting"] == waiting
        assert samples["kv_cache_usage_ratio"] == usage
        assert samples["engine_steps_total"] == steps
        assert samples["engine_deaths_total"] == deaths
        assert samples["spec_decode_num_draft_tokens_total"] == 2 * steps
        assert samples["spec_decode_num_accepted_tokens_total"] == steps - 1
        assert samples["requests_admitted"] == 7
        assert samples["prefix_cache_queries_total"] == 100 * steps
        assert samples["prefix_cache_hits_total"] == 90 * steps
        assert samples["prefix_cache_evictions_total"] == steps
        assert samples["prefix_cache_blocks"] == 5


def test_what_an_engine_does_not_tell_of_its_prefix_cache_is_not_there():
    def load() -> EngineLoad:
        told = PrefixCacheLoad(num_queries=3, num_hits=1)
        return EngineLoad(num_running=0, num_waiting=0, kv_cache_usage=0.0, prefix_cache=told)

    samples = scrape(Metrics(load))
    assert samples["prefix_cache_queries_total"] == 3
    assert "prefix_cache_blocks" not in samples


def test_a_dead_engine_does_not_break_a_scrape():
    def load() -> EngineLoad:
        raise EngineDeadError("gone")

    samples = scrape(Metrics(load))
    assert "requests_running" not in samples
    assert "disconnects_total" in samples


def test_model_info_has_one_series_whatever_was_set_before():
    metrics = Metrics()
    metrics.set_model(INFO, "old")
    metrics.set_model(INFO, "demo")
    found = [name for name in scrape(metrics) if name.startswith("model_info")]
    assert len(found) == 1
    assert found[0] == (
        'model_info{device="cpu",dtype="float32",engine="fake",kv_cache_tokens="256",'
        'max_model_len="64",max_num_seqs="4",model="demo"}'
    )


def test_the_arm_has_a_series_where_there_is_one():
    metrics = Metrics()
    assert not any(name.startswith("arm_info") for name in scrape(metrics))
    metrics.set_arm("blue")
    assert scrape(metrics)['arm_info{arm="blue"}'] == 1


def test_the_scrape_holds_exactly_the_families_of_the_table():
    """And each with the type and the labels that the table says."""
    metrics = Metrics(
        lambda: EngineLoad(num_running=0, num_waiting=0, kv_cache_usage=0.0, num_steps=0)
    )
    metrics.attach_admission(lambda: 0)
    metrics.attach_key_file(lambda: True)
    metrics.attach_database(lambda: True)
    metrics.attach_queue(EngineQueue(max_running=1))
    metrics.set_model(INFO, "demo")
    metrics.set_arm("blue")
    metrics.set_alert_channels(["webhook"])
    metrics.limit_known("each key", "tokens_per_minute")
    metrics.masking_known("email", "mask")
    metrics.attach_limits(dict)
    metrics.attach_audit(dict)
    metrics.attach_witnesses()
    metrics.feedback_given("demo", "blue", 500)
    metrics.content_filter_known("rule", ["input"], "block")
    metrics.answer_rule_known("letter")
    metrics.request_finished(finished(error_code="engine_dead"))
    found = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        if family.name.startswith(PREFIX):
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found[name] = (family.type, labels)
    assert found == {family.name: (family.kind, set(family.labels)) for family in FAMILIES}


def test_limits_are_counted_from_0_on_by_name_and_kind():
    metrics = Metrics()
    metrics.attach_limits(lambda: {"reservations_held": 3})
    metrics.limit_known("each key", "tokens_per_day")
    series = '{kind="tokens_per_day",limit="each key"}'
    assert scrape(metrics)[f"limit_refusals_total{series}"] == 0
    metrics.limit_refused("each key", "tokens_per_day")
    metrics.limit_observed("each key", "tokens_per_day")
    metrics.limit_known("each key", "tokens_per_day")
    found = scrape(metrics)
    assert found[f"limit_refusals_total{series}"] == found[f"limit_observed_total{series}"] == 1
    assert found["reservations_held"] == 3


def test_process_and_python_are_included_and_created_series_are_not():
    body = Metrics().render()[0].decode()
    assert "process_resident_memory_bytes" in body
    assert "python_info" in body
    assert "_created" not in body


def test_the_pooled_histogram_agrees_with_the_library_s():
    from prometheus_client import CollectorRegistry, Histogram

    family = BY_NAME["inter_token_latency_seconds"]
    registry = CollectorRegistry()
    theirs = Histogram(family.name, family.meaning, buckets=family.buckets, registry=registry)
    ours = PooledHistogram(family)
    samples = array("d", [0.0, 0.001, 0.0011, 0.01, 0.03, 0.03, 2.5, 2.6, 1e6])
    for pool in (samples[:4], samples[4:], array("d")):
        ours.observe_all(pool)
        for sample in pool:
            theirs.observe(sample)
    (expected,) = registry.collect()
    (found,) = ours.collect()
    assert {(s.name, s.labels.get("le")): s.value for s in found.samples} == {
        (s.name, s.labels.get("le")): pytest.approx(s.value)
        for s in expected.samples
        if not s.name.endswith("_created")
    }


@pytest.mark.parametrize(
    "changes", [{"timeline": None}, {"status": None}, {"route": ["x"]}, {"error_code": {}}]
)
def test_a_broken_record_is_logged_not_raised(caplog, changes):
    metrics = Metrics()
    with caplog.at_level(logging.WARNING):
        metrics.request_finished(finished(**changes))
    assert "not counted" in caplog.text
    assert scrape(metrics)


def test_error_codes_are_the_tree_s():
    codes = error_codes()
    assert {"internal_error", "engine_dead", "invalid_json"} <= codes
    assert len(codes) > 15


def test_two_registries_do_not_meet():
    first, second = Metrics(), Metrics()
    first.request_finished(finished())
    assert scrape(second)["prompt_tokens_total"] == 0


def test_alerts_are_counted_from_0_on_by_channel() -> None:
    metrics = Metrics()
    metrics.set_alert_channels(["webhook", "mail"])
    metrics.alert_tried("webhook", is_taken=True)
    metrics.alert_tried("webhook", is_taken=False)
    metrics.alerts_given_up(3)
    metrics.alerts_pending(2)
    text = metrics.render()[0].decode()
    for line in (
        'intramural_alerts_sent_total{channel="webhook"} 1.0',
        'intramural_alerts_sent_total{channel="mail"} 0.0',
        'intramural_alerts_failed_total{channel="webhook"} 1.0',
        "intramural_alerts_given_up_total 3.0",
        "intramural_alerts_pending 2.0",
    ):
        assert line in text.splitlines()


def test_the_audit_log_is_told_of():
    metrics = Metrics()
    metrics.attach_audit(lambda: {"audit_log_available": False, "audit_log_entries": 7})
    metrics.audit_written(3, 0.002)
    metrics.audit_passed()
    metrics.audit_lost("refused")
    told = scrape(metrics)
    assert told["audit_log_available"] == 0
    assert told["audit_log_entries"] == 7
    assert told["audit_write_seconds_count"] == 1
    assert told["audit_unrecorded_total"] == 1
    assert told['audit_lost_total{type="refused"}'] == 1
    assert told['audit_lost_total{type="login_failed"}'] == 0
