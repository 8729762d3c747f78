"""The response cache: looks a request's answer up, and keeps the answer that it gets.

::

    look up ── hit ── the kept events, chunk by chunk        no place in the engine's queue
       └────── miss ── the engine's events, watched ── all choices over ── kept, in the background

Only whole answers are kept: each choice ended by itself, at its length or in calls. A store that is
away is a miss, and an answer that cannot be kept is not kept: neither is an error of the request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from serve.governance.principal import Principal
from serve.governance.screening import Screened
from serve.observe.record import CACHE_HIT, RequestRecord
from serve.pipeline.events import Event, Finished, PromptTokens, Started, TextDelta, TokenIds
from serve.service.call import Call
from serve.service.directory import Served
from serve.service.least_tokens import least_tokens
from serve.service.response_cache.kept_answer import KeptAnswer, read
from serve.service.response_cache.names import AnswerNames, is_repeatable
from serve.service.response_cache.store import AnswerStore
from serve.storage.counting.counters import StoreUnavailable

log = logging.getLogger(__name__)

STATE_HEADER: Final = "x-response-cache"
AGE_HEADER: Final = "age"
KEPT_ENDS: Final = frozenset({"stop", "length", "tool_calls"})
MAX_WRITES: Final = 64
"""Answers on their way into the store; further ones are not kept."""
INLINE_TOKENS: Final = 8192
"""Prompts of more are named on a thread, while others have their turn."""
EVENT_BYTES: Final = 24
TOKEN_BYTES: Final = 64
"""Sizes by which an answer is bounded before it is written."""


class ResponseCache:
    """Answers for a whole server.

    Args:
        store: where they lie.
        names: under which.
        max_age_s: seconds after which an answer is none, whatever the store says.
        max_entry_bytes: of one answer.
        clock: Unix seconds.
        today: of the local calendar, which chat templates may write into a prompt.
    """

    def __init__(
        self,
        store: AnswerStore,
        names: AnswerNames,
        *,
        max_age_s: float,
        max_entry_bytes: int,
        clock: Callable[[], float] = time.time,
        today: Callable[[], date] = date.today,
    ) -> None:
        self._store = store
        self._names = names
        self._max_age_s = max_age_s
        self._max_entry_bytes = max_entry_bytes
        self._clock = clock
        self._today = today
        self._writes: set[asyncio.Task[None]] = set()
        self._num_hits = 0
        self._num_misses = 0
        self._num_failures = 0

    async def look_up(
        self, caller: Principal, call: Call, served: Served, screened: Screened
    ) -> Lookup:
        """The request's answer, or the place for it; its answer's headers tell which.

        Args:
            screened: the request as the engine would have it.
        """
        use = call.cache_use
        is_kept = is_repeatable(screened.generation) and screened.is_reproducible
        if not is_kept or not (use.reads or use.writes):
            call.answer_headers[STATE_HEADER] = "off"
            return Lookup()
        name = await self._name_of(caller.tenant, served, screened)
        hit = await self._found(name) if use.reads else None
        age_s = 0 if hit is None else max(0, int(self._clock() - hit.made_at))
        if hit is not None and use.max_age_s is not None and age_s > use.max_age_s:
            hit = None
        if hit is None:
            self._num_misses += 1
            call.answer_headers[STATE_HEADER] = "miss"
            num_verdicts = len(call.record.verdicts)
            place = Lookup(cache=self, name=name, num_verdicts=num_verdicts)
            return place if use.writes else Lookup()
        self._num_hits += 1
        call.record.verdicts.append(CACHE_HIT)
        call.answer_headers[STATE_HEADER] = "hit"
        call.answer_headers[AGE_HEADER] = str(age_s)
        return Lookup(hit=hit)

    def keep(self, name: bytes, answer: KeptAnswer) -> None:
        """Keep an answer, in a task of its own."""
        if len(self._writes) >= MAX_WRITES:
            return
        task = asyncio.create_task(self._keep(name, answer))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def written(self) -> None:
        """Wait for what is on its way into the store."""
        while self._writes:
            await asyncio.wait(self._writes)

    def figures(self) -> Mapping[str, float]:
        """Figures for a scrape, by the families' names."""
        return {
            "response_cache_hits_total": self._num_hits,
            "response_cache_misses_total": self._num_misses,
            "response_cache_failures_total": self._num_failures,
            **self._store.figures(),
        }

    async def close(self) -> None:
        """Write what is on its way, and let go of the store."""
        await self.written()
        await self._store.close()

    @property
    def max_entry_bytes(self) -> int:
        return self._max_entry_bytes

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    async def _name_of(self, tenant: str, served: Served, screened: Screened) -> bytes:
        today = self._today()
        if least_tokens(screened.generation) <= INLINE_TOKENS:
            return self._names.of(tenant, served, screened, today)
        return await asyncio.to_thread(self._names.of, tenant, served, screened, today)

    async def _found(self, name: bytes) -> KeptAnswer | None:
        try:
            raw = await self._store.find(name)
            answer = None if raw is None else read(raw)
        except StoreUnavailable as error:
            self._num_failures += 1
            log.debug("the response cache was not asked", extra={"reason": str(error)})
            return None
        except ValueError as error:
            log.warning("a kept answer cannot be read", extra={"reason": str(error)})
            return None
        if answer is not None and self._clock() - answer.made_at > self._max_age_s:
            return None
        return answer

    async def _keep(self, name: bytes, answer: KeptAnswer) -> None:
        try:
            raw = answer.to_bytes()
            if len(raw) <= self._max_entry_bytes:
                await self._store.keep(name, raw)
        except StoreUnavailable as error:
            self._num_failures += 1
            log.debug("an answer was not kept", extra={"reason": str(error)})
        except ValueError as error:
            log.debug("an answer cannot be kept", extra={"reason": str(error)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """One request's look into the cache.

    Attributes:
        hit: the kept answer; None is a miss, or a request that is not for the cache.
        cache: that takes the answer, under the name; None where it is not to be kept.
        num_verdicts: of the record, that are of the request and not of its answer.
    """

    hit: KeptAnswer | None = None
    cache: ResponseCache | None = None
    name: bytes = b""
    num_verdicts: int = 0

    def told(self, record: RequestRecord) -> tuple[AsyncGenerator[Event, None], Started]:
        """The kept answer's events, and their beginning, which demands no token of any limit.

        Args:
            record: has the usage and the end of the kept answer once they are read.
        """
        return _told(self.hit, record), Started(prompt_tokens=0)

    def watched(
        self, events: AsyncGenerator[Event, None], record: RequestRecord, num_choices: int
    ) -> AsyncGenerator[Event, None]:
        """The same events; the answer that they are is kept once they are over."""
        if self.cache is None:
            return events
        return _watched(events, record, num_choices, self, self.cache)


NO_LOOKUP: Final = Lookup()


async def _told(hit: KeptAnswer | None, record: RequestRecord) -> AsyncGenerator[Event, None]:
    if hit is None:
        return
    record.timeline.usage = replace(hit.usage)
    record.timeline.finish_reason = hit.finish_reason
    record.verdicts += [one for one in hit.verdicts if one not in record.verdicts]
    for event in hit.events:
        yield event


async def _watched(
    events: AsyncGenerator[Event, None],
    record: RequestRecord,
    num_choices: int,
    place: Lookup,
    cache: ResponseCache,
) -> AsyncGenerator[Event, None]:
    kept: list[Event] | None = []
    num_bytes = num_finished = 0
    async for event in events:
        if kept is not None:
            kept.append(event)
            num_bytes += _size_of(event)
            if isinstance(event, Finished):
                num_finished += event.reason in KEPT_ENDS
            if num_bytes > cache.max_entry_bytes:
                kept = None
        yield event
    if kept is not None and num_finished == num_choices:
        timeline = record.timeline
        cache.keep(
            place.name,
            KeptAnswer(
                made_at=cache.now(),
                usage=replace(timeline.usage),
                finish_reason=timeline.finish_reason,
                events=kept,
                verdicts=tuple(record.verdicts[place.num_verdicts :]),
            ),
        )


def _size_of(event: Event) -> int:
    """About as many bytes as an event takes."""
    if isinstance(event, TextDelta):
        num_tokens = sum(1 + len(token.top) for token in event.logprobs)
        return EVENT_BYTES + len(event.text) + num_tokens * TOKEN_BYTES
    if isinstance(event, PromptTokens | TokenIds):
        listed = event.logprobs or () if isinstance(event, PromptTokens) else ()
        num_tokens = sum(1 + len(token.top) for token in listed)
        return EVENT_BYTES + 4 * len(event.token_ids) + num_tokens * TOKEN_BYTES
    return EVENT_BYTES
