"""The queue that the settings ask for."""

from __future__ import annotations

import pytest

from serve.composition.queues import queues_for
from serve.config import Config
from serve.errors import QueueFull
from serve.observe.metrics import Metrics
from serve.service.asked import Asked
from tests.serve.api.house import pipeline_of


async def test_it_has_the_settings_bounds_and_the_metrics_read_it() -> None:
    metrics = Metrics()
    config = Config(model="demo", max_num_queued_tokens=100, max_request_s=9.0)
    queue = queues_for(config, metrics, lambda tenant: 2.0)(pipeline_of())
    one = Asked(tenant="a", request_class="batch", tokens=90)
    places = [queue.join(one) for _ in range(6)]
    assert [place.is_waiting for place in places] == [False] * 5 + [True]
    with pytest.raises(QueueFull):
        queue.join(one)
    assert queue.deadline(100.0, None) == queue.deadline(100.0, 10.0) == 109.0
    assert queue.deadline(100.0, 8.0) == 108.0
    assert b'intramural_queue_tokens{class="batch"} 90.0' in metrics.render()[0]
