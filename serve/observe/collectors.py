"""Collectors of ours: what is read when somebody scrapes, and a histogram that takes many samples
at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise
from typing import Protocol, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serve.engine.protocol import EngineLoad, PrefixCacheLoad
from serve.errors import ServeError
from serve.observe.families import BY_NAME, Family
from serve.timeline import RequestClass


class QueueLoad(Protocol):
    """The queue in front of the engine, as a scrape sees it (serve/service/engine_queue.py)."""

    def load(self, request_class: RequestClass) -> tuple[int, int]: ...
    def num_waiting_sequences(self) -> int: ...


class PooledHistogram(Collector):
    """A histogram that takes the samples of a whole request at once.

    prometheus_client's own takes them one by one, with a walk over the buckets and two locks each,
    about a microsecond a sample. A request has thousands, and they are counted on the event loop;
    sorting them in C and looking up each bound once is several times cheaper.
    """

    def __init__(self, family: Family) -> None:
        self._family = family
        self._counts = [0] * (len(family.buckets) + 1)
        self._sum = 0.0

    def observe_all(self, samples: Collection[float]) -> None:
        """Add samples, in the unit of the buckets."""
        if not samples:
            return
        ordered = sorted(samples)
        ends = [bisect_right(ordered, bound) for bound in self._family.buckets]
        for bucket, (start, end) in enumerate(pairwise([0, *ends, len(ordered)])):
            self._counts[bucket] += end - start
        self._sum += sum(ordered)

    def collect(self) -> Iterator[Metric]:
        """Cumulative counts, as the exposition format has them."""
        bounds = [*map(str, map(float, self._family.buckets)), "+Inf"]
        total = 0
        buckets = []
        for bound, count in zip(bounds, self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        yield HistogramMetricFamily(
            self._family.name, self._family.meaning, buckets=buckets, sum_value=self._sum
        )


class ScrapeCollector(Collector):
    """Reads the engine and its neighbours at scrape time. What is not there has no samples."""

    def __init__(self, load: Callable[[], EngineLoad] | None) -> None:
        self.load = load
        self.num_admitted: Callable[[], int] | None = None
        self.queue: QueueLoad | None = None
        self.is_key_file_usable: Callable[[], bool] | None = None
        self.figures: list[Callable[[], Mapping[str, float]]] = []  # of parts, by family
        self.rules_files: dict[str, Callable[[], bool]] = {}
        self.is_database_available: Callable[[], bool] | None = None
        self.is_tls_usable: Callable[[], bool] | None = None
        self.tls_life: Callable[[], tuple[float, float]] | None = None
        self.num_refused_handshakes: Callable[[], int] | None = None

    def describe(self) -> Iterator[Metric]:
        """Names for the registry, without asking anybody."""
        yield from self._metrics({})

    def collect(self) -> Iterator[Metric]:
        """One sample of each family that there is something to say about."""
        yield from self._metrics(self._values())

    def _values(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for figures in self.figures:
            values |= figures()
        if self.is_key_file_usable is not None:
            values["key_file_usable"] = self.is_key_file_usable()
        values |= {name: is_usable() for name, is_usable in self.rules_files.items()}
        if self.is_database_available is not None:
            values["database_available"] = self.is_database_available()
        if self.is_tls_usable is not None:
            values["tls_files_usable"] = self.is_tls_usable()
        if self.tls_life is not None:
            begin, end = self.tls_life()
            values["tls_certificate_not_before"] = begin
            values["tls_certificate_not_after"] = end
        if self.num_refused_handshakes is not None:
            values["tls_handshakes_refused_total"] = self.num_refused_handshakes()
        if self.num_admitted is not None:
            values["requests_admitted"] = self.num_admitted()
        if self.load is not None:
            try:
                load = self.load()
            except ServeError:  # a dead engine; its health check says so, a scrape must still work
                return values
            values["requests_running"] = load.num_running
            values["requests_waiting"] = load.num_waiting
            if self.queue is not None:
                values["requests_waiting"] += self.queue.num_waiting_sequences()
            values["kv_cache_usage_ratio"] = load.kv_cache_usage
            values["engine_steps_total"] = load.num_steps
            values |= _of_prefix_cache(load.prefix_cache)
            values["engine_deaths_total"] = load.num_deaths
            values["spec_decode_num_draft_tokens_total"] = load.num_draft_tokens
            values["spec_decode_num_accepted_tokens_total"] = load.num_accepted_tokens
        return values

    def _metrics(self, values: dict[str, float]) -> Iterator[Metric]:
        for name, family in BY_NAME.items():
            if family.source == "scrape" and family.labels:
                yield self._by_class(name, family)
            elif family.source == "scrape":
                kind = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
                yield kind(family.name, family.meaning, value=values.get(name))

    def _by_class(self, name: str, family: Family) -> Metric:
        """A figure of the queue for each class."""
        metric = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
        if self.queue is not None:
            for request_class in get_args(RequestClass):
                num_requests, num_tokens = self.queue.load(request_class)
                value = num_requests if name == "queue_requests" else num_tokens
                metric.add_metric((request_class,), value)
        return metric


def _of_prefix_cache(load: PrefixCacheLoad | None) -> dict[str, float]:
    if load is None:
        return {}
    told = {
        "prefix_cache_queries_total": load.num_queries,
        "prefix_cache_hits_total": load.num_hits,
        "prefix_cache_evictions_total": load.num_evictions,
        "prefix_cache_blocks": load.num_blocks,
    }
    return {name: value for name, value in told.items() if value is not None}
