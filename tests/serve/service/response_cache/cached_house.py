"""A server with a response cache, whose answers tell for whom, and as which, they were computed."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from serve.engine.protocol import EngineInfo
from serve.governance.audit.trail import Audit
from serve.governance.identity.credentials import Credentials
from serve.governance.pass_through import NoAudit, NoLimits
from serve.governance.principal import Principal
from serve.governance.reservations import Reservations
from serve.pipeline.events import (
    ChoiceEvent,
    Event,
    Finished,
    GenerateRequest,
    Generation,
    Started,
    TextDelta,
)
from serve.service.directory import Directory, Weights
from serve.service.requests import Service
from serve.service.response_cache.answers import ResponseCache
from serve.service.response_cache.memory_store import MemoryStore
from serve.service.response_cache.names import AnswerNames
from serve.service.response_cache.store import AnswerStore
from serve.timeline import Usage
from tests.serve.api.house import House, Records, create_app, house, pipeline_of

MAX_AGE_S = 3600.0


class CountingPipeline:
    """Answers with the tenant, and the number of the answer: no two computed ones are equal."""

    def __init__(self, numbers: Iterator[int] | None = None) -> None:
        self._plain = pipeline_of()
        self._numbers = numbers or itertools.count()
        self.num_run = 0
        self.fails = False

    @property
    def engine(self) -> Any:
        return self._plain.engine

    @property
    def info(self) -> EngineInfo:
        return self._plain.engine.info

    def check(self, generation: Generation) -> None:
        pass

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        self.num_run += 1
        number, num_choices = next(self._numbers), len(request.prompts) * request.n
        timeline = request.timeline
        timeline.usage.prompt_tokens = 7
        yield Started(prompt_tokens=7, max_completion_tokens=9)
        for index in range(num_choices):
            for text in (f"{request.tenant} ", str(request.adapter), f" answer {number}"):
                timeline.usage.completion_tokens += 1
                events: Sequence[ChoiceEvent] = [TextDelta(index=index, text=text)]
                for stage in request.stages(index) if request.stages else ():
                    events = stage.feed(events)
                for event in events:
                    yield event
                await asyncio.sleep(0)
            reason = "content_filter" if self.fails else "length" if index else "stop"
            timeline.finish_reason = reason  # type: ignore[assignment]
            usage = Usage(prompt_tokens=7, completion_tokens=3)
            yield Finished(index=index, reason=reason, usage=usage)  # type: ignore[arg-type]


class Callers:
    """Knows each caller by the word that it shows: its tenant."""

    def authenticate(self, credentials: Credentials) -> Principal:
        (word,) = credentials.authorization
        return Principal(key_id=f"key-{word}", name=word, tenant=word)


def memory_store() -> MemoryStore:
    return MemoryStore(max_bytes=64 << 20, max_entries=100_000, max_age_s=MAX_AGE_S)


def cache_of(store: AnswerStore | None = None, **more: Any) -> ResponseCache:
    names = more.pop("names", AnswerNames())
    more = {"max_age_s": MAX_AGE_S, "max_entry_bytes": 1 << 20, **more}
    return ResponseCache(store or memory_store(), names, **more)


@functools.cache
def _house() -> House:
    """The server of all tests: an application takes long to build, and holds no state."""
    directory = Directory(("demo", "alias"), ("wise",), created=0)
    records = Records()
    service = Service(directory, (Callers(),), listeners=(records,))
    state = replace(house().state, service=service)
    return House(state, records, create_app(state))


def cached_house(
    cache: ResponseCache | None,
    pipeline: CountingPipeline | None = None,
    *,
    reservations: Reservations | None = None,
    audit: Audit | None = None,
) -> House:
    """A server with models ``demo`` and ``alias``, and the adapter ``wise``; the last one's end."""
    home = _house()
    home.records.all.clear()
    home.service._answers = cache
    home.service._reservations = reservations or NoLimits()
    home.service._audit = audit or NoAudit()
    publish(home, pipeline or CountingPipeline())
    return home


def publish(home: House, pipeline: CountingPipeline, digest: str = "digest") -> None:
    """Serve by this pipeline, of weights with this digest, from now on."""
    home.service.directory.publish(pipeline, Weights(digest=digest))  # type: ignore[arg-type]
