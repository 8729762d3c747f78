"""The queue in front of each engine, from the settings."""

from __future__ import annotations

import time

from serve.config import Config
from serve.observe.metrics import Metrics
from serve.service.directory import Directory, QueueFor, TextPipeline
from serve.service.engine_queue import EngineQueue
from serve.service.tenant_rounds import WeightOf


def directory_for(
    config: Config, metrics: Metrics, weight_of: WeightOf = lambda _tenant: 1.0
) -> Directory:
    """The directory of what the settings serve, with the queue in front of it."""
    return Directory(
        config.model_names,
        tuple(config.adapters),
        created=int(time.time()),
        queue_for=queues_for(config, metrics, weight_of),
    )


def queues_for(
    config: Config, metrics: Metrics, weight_of: WeightOf = lambda _tenant: 1.0
) -> QueueFor:
    """A maker of queues, each of which the metrics then tell of.

    Args:
        weight_of: of a tenant.
    """

    def queue_for(pipeline: TextPipeline) -> EngineQueue:
        queue = EngineQueue(
            max_running=pipeline.engine.info.max_num_seqs,
            max_waiting=config.max_num_queued_reqs,
            max_tokens=config.max_num_queued_tokens,
            max_request_s=config.max_request_s,
            weight_of=weight_of,
        )
        metrics.attach_queue(queue)
        return queue

    return queue_for
