"""The table of metrics keeps to Prometheus' customs, on which dashboards rely."""

from __future__ import annotations

import re

from serve.observe.families import BY_NAME, FAMILIES, PREFIX


def test_buckets_ascend_and_histograms_have_them() -> None:
    for family in FAMILIES:
        assert list(family.buckets) == sorted(set(family.buckets))
        assert bool(family.buckets) == (family.kind == "histogram")


def test_names_are_ours_and_say_kind_and_unit() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
    for family in FAMILIES:
        assert re.fullmatch(PREFIX + "[a-z]+(_[a-z]+)+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.name.endswith("_seconds") == (family.kind == "histogram")
        assert family.name.endswith("_info") == (family.source == "process")


def test_families_are_found_by_their_short_name() -> None:
    assert len(BY_NAME) == len(FAMILIES)
    for name, family in BY_NAME.items():
        assert family.name == PREFIX + name


def test_every_family_explains_itself_and_its_labels() -> None:
    for family in FAMILIES:
        assert family.meaning.endswith(".")
        assert len(family.labels) == len(set(family.labels))
        assert not {"le", "quantile", "instance", "job"} & set(family.labels), "Prometheus' own"


def test_requests_update_counters_and_histograms_and_the_engine_is_read() -> None:
    for family in FAMILIES:
        if family.source == "requests":
            assert family.kind in {"counter", "histogram"}
        elif family.source == "process":
            assert family.kind == "gauge"


def test_times_that_people_promise_have_a_bound_of_their_own() -> None:
    assert {0.1, 0.2, 0.5, 1, 5} <= set(BY_NAME["time_to_first_token_seconds"].buckets)
    assert {0.02, 0.05, 0.1} <= set(BY_NAME["inter_token_latency_seconds"].buckets)
