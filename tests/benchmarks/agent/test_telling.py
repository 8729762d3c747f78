"""The readers of a log and of metrics."""

from __future__ import annotations

import httpx
import pytest

from benchmarks.agent import telling
from benchmarks.agent.telling import CachedInLog, FirstTokenInMetrics


def test_the_log_tells_what_was_reused(tmp_path):
    log = tmp_path / "log"
    log.write_text("loading\n")
    told = CachedInLog(log)
    assert told() == 0
    with log.open("a") as more:
        more.write("cache hit\nLlama.generate: 1640 prefix-match hit, remaining 52 prompt tokens\n")
    assert told() == 1640
    assert told() == 0


@pytest.fixture
def pages(monkeypatch) -> list[str]:
    """What /metrics answers, one after the other; the last stays."""
    monkeypatch.setattr(telling, "_PAUSE_S", 0.0)
    return []


def reader(pages: list[str]) -> FirstTokenInMetrics:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=pages.pop(0) if len(pages) > 1 else pages[0])

    return FirstTokenInMetrics(
        httpx.Client(base_url="http://stub", transport=httpx.MockTransport(answer))
    )


@pytest.mark.parametrize(
    "series",
    [
        "intramural_time_to_first_token_seconds_sum",
        'vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"}',
    ],
)
def test_the_metrics_tell_of_the_last_request(pages, series):
    other = "x_time_to_first_token_seconds_sum 99\n"
    pages += [f"{other}{series} {sum_s}\n" for sum_s in (1.5, 1.5, 1.5, 1.75, 4.75)]
    told = reader(pages)
    assert told() == 0.25
    assert told() == 3
    assert told() is None  # no request since


@pytest.mark.parametrize("status", [200, 404])
def test_a_server_without_such_a_metric(status):
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text="nothing"))
    told = FirstTokenInMetrics(httpx.Client(base_url="http://stub", transport=transport))
    assert told() is None
