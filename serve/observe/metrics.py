"""Prometheus metrics of this process, in a registry of their own.

What is counted per request is updated when the request is over, in one pass on the event loop;
what the engine knows is read from it when somebody scrapes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from serve.engine.protocol import EngineInfo, EngineLoad
from serve.errors import DeadlineExceeded, RequestError
from serve.observe.audit_figures import AuditFigures
from serve.observe.collectors import PooledHistogram, QueueLoad, ScrapeCollector
from serve.observe.families import BY_NAME, Family
from serve.observe.record import PROBES, RequestRecord
from serve.observe.screen_counts import ScreenCounts
from serve.timeline import CacheCause, Timeline
from serve.version import server_version

log = logging.getLogger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
DEADLINE_STAGES = ("refused", "waiting", "running")
MAX_ROUTES = 64
"""Most values of the label `route`: a bound in case a path ever came where a template belongs."""

MAX_RATED = 96
"""Most series of feedback: other replicas' models and arms are in the ledger, too."""


class Metrics(ScreenCounts, AuditFigures):
    """Counts finished requests (a RequestListener) and answers scrapes.

    Args:
        engine_load: as for ``attach_engine``; None while there is no engine.
    """

    def __init__(self, engine_load: Callable[[], EngineLoad] | None = None) -> None:
        # A second series for every one, which nothing of ours reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        own = {name: family for name, family in BY_NAME.items() if family.source != "scrape"}
        self._counters = {n: self._counter(f) for n, f in own.items() if f.kind == "counter"}
        self._gauges = {n: self._gauge(f) for n, f in own.items() if f.kind == "gauge"}
        itl = own.pop("inter_token_latency_seconds")
        self._histograms = {n: self._histogram(f) for n, f in own.items() if f.kind == "histogram"}
        self._itl = PooledHistogram(itl)
        self._registry.register(self._itl)
        self._scraped = ScrapeCollector(engine_load)
        self._registry.register(self._scraped)
        self._routes: set[str] = set()
        self._rated: set[tuple[str, str, str]] = set()
        self._codes = error_codes()
        for code in self._codes:  # from 0 on: a rate of a series that begins at 1 misses the 1
            self._counters["refusals_total"].labels(code=code)
        for stage in DEADLINE_STAGES:
            self._counters["deadlines_exceeded_total"].labels(stage=stage)
        self._gauges["build_info"].labels(version=server_version()).set(1)

    def attach_engine(self, load: Callable[[], EngineLoad]) -> None:
        """Read this engine from now on. ``load`` is called on scrapes and must not block."""
        self._scraped.load = load

    def attach_admission(self, num_admitted: Callable[[], int]) -> None:
        """Read the number of admitted sequences from here on scrapes."""
        self._scraped.num_admitted = num_admitted

    def attach_queue(self, queue: QueueLoad) -> None:
        """Read the queue in front of the engine from here on scrapes."""
        self._scraped.queue = queue

    def attach_key_file(self, is_usable: Callable[[], bool]) -> None:
        """Ask here on scrapes whether the key file as it is now is the one in force."""
        self._scraped.is_key_file_usable = is_usable

    def attach_database(self, is_available: Callable[[], bool]) -> None:
        """Ask here on scrapes whether the database answered of late."""
        self._scraped.is_database_available = is_available

    def attach_tls(
        self,
        is_usable: Callable[[], bool],
        life: Callable[[], tuple[float, float]],
        num_refused: Callable[[], int],
    ) -> None:
        """Ask here on scrapes of the TLS files.

        Args:
            is_usable: whether they are in force as they are now.
            life: begin and end of the certificate in force, in Unix time.
            num_refused: handshakes that were refused.
        """
        self._scraped.is_tls_usable = is_usable
        self._scraped.tls_life = life
        self._scraped.num_refused_handshakes = num_refused

    def set_model(self, info: EngineInfo, model_name: str) -> None:
        """Say in ``model_info`` what is served."""
        if "prefix_cache" in info.capabilities:  # from 0 on, as refusals are
            for cause in get_args(CacheCause):
                self._counters["prefix_cache_prompts_total"].labels(cause=cause)
        gauge = self._gauges["model_info"]
        gauge.clear()
        gauge.labels(
            model=model_name,
            engine=info.name,
            dtype=info.dtype,
            device=info.device,
            max_model_len=info.max_model_len,
            max_num_seqs=info.max_num_seqs,
            kv_cache_tokens=info.kv_cache_tokens,
        ).set(1)

    def set_arm(self, arm: str | None) -> None:
        """Say in ``arm_info`` which arm of an experiment this server is, if it is one."""
        if arm is not None:
            self._gauges["arm_info"].labels(arm=arm).set(1)

    def attach_limits(self, load: Callable[[], Mapping[str, float]]) -> None:
        """Ask here on scrapes for the figures of limits, by their families' names."""
        self._scraped.figures.append(load)

    def attach_response_cache(self, figures: Callable[[], Mapping[str, float]]) -> None:
        """Ask here on scrapes for the figures of the response cache, by their families' names."""
        self._scraped.figures.append(figures)

    def attach_rules_file(self, family: str, is_usable: Callable[[], bool]) -> None:
        """Ask here on scrapes whether a file of rules, as it is now, is the one in force.

        Args:
            family: the one that tells it: ``masking_file_usable``.
        """
        self._scraped.rules_files[family] = is_usable

    def limit_known(self, limit: str, measure: str) -> None:
        """Begin to count for a limit: from 0 on, or a rate misses the first one."""
        for name in ("limit_refusals_total", "limit_observed_total"):
            self._counters[name].labels(limit=limit, kind=measure)

    def limit_refused(self, limit: str, measure: str) -> None:
        """Count a refusal. The name is one of the limits file's, not a client's."""
        self._counters["limit_refusals_total"].labels(limit=limit, kind=measure).inc()

    def limit_observed(self, limit: str, measure: str) -> None:
        """Count a request that a limit would have refused if it were not only observed."""
        self._counters["limit_observed_total"].labels(limit=limit, kind=measure).inc()

    def request_finished(self, record: RequestRecord) -> None:
        """Count a request. Never raises: a record that cannot be counted is logged."""
        try:
            self._count(record)
        except (AttributeError, TypeError, ValueError) as error:
            log.warning("a request was not counted", extra={"error": type(error).__name__})

    def set_alert_channels(self, channels: Iterable[str]) -> None:
        """Count alerts of these channels from 0 on, as refusals are."""
        for channel in channels:
            for name in ("alerts_sent_total", "alerts_failed_total"):
                self._counters[name].labels(channel=channel)

    def alert_tried(self, channel: str, *, is_taken: bool) -> None:
        """Count a try to deliver an alert."""
        name = "alerts_sent_total" if is_taken else "alerts_failed_total"
        self._counters[name].labels(channel=channel).inc()

    def alerts_given_up(self, num_alerts: int) -> None:
        """Count alerts that nobody took."""
        self._counters["alerts_given_up_total"].inc(num_alerts)

    def alerts_pending(self, num_alerts: int) -> None:
        """Note how many alerts wait."""
        self._gauges["alerts_pending"].set(num_alerts)

    def feedback_given(self, model: str, arm: str, score_milli: int) -> None:
        """Count the first feedback on an answer. Both names are the operator's, of the ledger."""
        rating = "positive" if score_milli > 0 else "negative" if score_milli < 0 else "neutral"
        labels = (model, arm, rating)
        if labels not in self._rated:
            if len(self._rated) >= MAX_RATED:
                labels = (OTHER, OTHER, rating)
            self._rated.add(labels)
        self._counters["feedback_total"].labels(*labels).inc()

    def render(self) -> tuple[bytes, str]:
        """The exposition for a scrape, and its content type (text format 0.0.4)."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def _count(self, record: RequestRecord) -> None:
        counters = self._counters
        counters["requests_total"].labels(
            route=self._route(record.route),
            method=record.method if record.method in METHODS else OTHER,
            status=str(record.status) if 100 <= record.status <= 599 else OTHER,
        ).inc()
        if record.error_code is not None and record.route not in PROBES:
            code = record.error_code if record.error_code in self._codes else OTHER
            counters["refusals_total"].labels(code=code).inc()
        if record.is_disconnected:
            counters["disconnects_total"].inc()
        timeline = record.timeline
        if record.error_code == DeadlineExceeded.code:
            counters["deadlines_exceeded_total"].labels(stage=_stage(timeline)).inc()
        if timeline.submitted_at is None:
            return
        counters["prompt_tokens_total"].inc(timeline.usage.prompt_tokens)
        counters["completion_tokens_total"].inc(timeline.usage.completion_tokens)
        counters["cached_tokens_total"].inc(timeline.usage.cached_tokens)
        for cause in timeline.cache_causes:
            counters["prefix_cache_prompts_total"].labels(cause=cause).inc()
        if record.model is not None:  # a name that is served: others are refused before
            usage = {"prompt": timeline.usage.prompt_tokens}
            usage["completion"] = timeline.usage.completion_tokens
            counters["model_requests_total"].labels(model=record.model).inc()
            for kind, num_tokens in usage.items():
                counters["model_tokens_total"].labels(model=record.model, kind=kind).inc(num_tokens)
        for name, seconds in (
            ("time_to_first_token_seconds", timeline.ttft_s),
            ("request_duration_seconds", timeline.e2e_s),
            ("request_queue_seconds", timeline.queue_s),
        ):
            if seconds is not None:
                self._histograms[name].observe(seconds)
        if timeline.wait_s is not None:
            waits = self._histograms["queue_wait_seconds"]
            waits.labels(**{"class": record.request_class}).observe(timeline.wait_s)
        self._itl.observe_all(timeline.itl_s)

    def _route(self, route: str) -> str:
        if route not in self._routes:
            if len(self._routes) >= MAX_ROUTES:
                return OTHER
            self._routes.add(route)
        return route

    def _counter(self, family: Family) -> Counter:
        return Counter(family.name, family.meaning, family.labels, registry=self._registry)

    def _gauge(self, family: Family) -> Gauge:
        return Gauge(family.name, family.meaning, family.labels, registry=self._registry)

    def _histogram(self, family: Family) -> Histogram:
        return Histogram(
            family.name,
            family.meaning,
            family.labels,
            registry=self._registry,
            buckets=family.buckets,
        )


def _stage(timeline: Timeline) -> str:
    """The stage at which a request's time was over."""
    if timeline.submitted_at is not None:
        return "running"
    return "refused" if timeline.queued_at is None else "waiting"


def error_codes() -> frozenset[str]:
    """Every error code of the tree in serve/errors.py."""
    codes = set()
    classes: list[type[RequestError]] = [RequestError]
    while classes:
        current = classes.pop()
        codes.add(current.code)
        classes += current.__subclasses__()
    return frozenset(codes)
