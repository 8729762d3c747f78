"""One generation on its way: screened, rendered, reserved, in the queue, begun, ended.

::

    open ── screen ── look up ── render ── reserve ── join the queue ── wait ── audit ── events
                         └─ a kept answer ── reserve ─────────────────────┘
    end  ── leave the queue ── audit ── settle
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from dataclasses import fields, replace
from typing import Any, Final

from serve.errors import InternalError, QueueFull
from serve.governance.audit.trail import Audit, Trail
from serve.governance.pass_through import NO_RESERVATION, NO_TRAIL
from serve.governance.principal import Principal
from serve.governance.reservations import Demand, Reservation, Reservations
from serve.governance.screening import Screen, Screened
from serve.pipeline.events import Event, GenerateRequest, Generation, Started
from serve.pipeline.stages import no_stages
from serve.service.asked import Asked, expected_tokens
from serve.service.call import Call
from serve.service.deadline import within
from serve.service.directory import Served
from serve.service.least_tokens import least_tokens
from serve.service.place import Place
from serve.service.release import released
from serve.service.response_cache.answers import NO_LOOKUP, Lookup, ResponseCache
from serve.service.second_try import TRIES, checked, second_request

MOST_READY: Final = 256
"""Events of a choice that are recorded at once where all of them are there, and not being made."""


class Running:
    """One generation, and all that it holds until it is ended.

    Args:
        caller: whose it is.
        served: by what it runs.
        reservations: limits that may refuse it.
        audit: the trail that it leaves.
        screen: what its prompts and answers pass.
        answers: kept for requests that come again; None keeps none.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        call: Call,
        caller: Principal,
        served: Served,
        generation: Generation,
        *,
        reservations: Reservations,
        audit: Audit,
        screen: Screen,
        answers: ResponseCache | None = None,
        clock: Callable[[], float],
    ) -> None:
        self._call = call
        self._caller = caller
        self._served = served
        self._screened = Screened(generation=generation)
        self._reservations = reservations
        self._audit = audit
        self._screen = screen
        self._answers = answers
        self._lookup: Lookup = NO_LOOKUP
        self._clock = clock
        self._asked = Asked(
            tenant=caller.tenant,
            request_class=call.record.request_class,
            tokens=least_tokens(generation),
            deadline_at=served.queue.deadline(call.record.timeline.arrived_at, call.timeout_s),
            is_retry=call.is_retry,
        )
        self._reservation: Reservation = NO_RESERVATION
        self._place: Place | None = None
        self._trail: Trail = NO_TRAIL
        self._has_begun = False

    async def check(self) -> None:
        """Refuse what has no chance, before work is spent on it.

        Raises:
            RequestError: the queue is too long for it, or a limit leaves no room for anything.
        """
        self._served.queue.check(self._asked)
        await self._reservations.check(self._caller, self._served.name)

    async def open(self, stack: AsyncExitStack) -> AsyncGenerator[Event, None]:
        """Screen and render it, reserve for it, and wait for its turn. Its events.

        Args:
            stack: closes what was opened, the engine's streams too; before ``end``.

        Raises:
            RequestError: it is refused.
        """
        call, queue = self._call, self._served.queue
        await stack.enter_async_context(within(self._left_s()))
        self._screened = await self._screen.screen(
            self._caller, call.record, self._screened.generation
        )
        if self._answers is not None:
            self._lookup = await self._answers.look_up(
                self._caller, call, self._served, self._screened
            )
        is_hit = self._lookup.hit is not None
        events, started = self._lookup.told(call.record) if is_hit else await self._started()
        await stack.enter_async_context(aclosing(events))
        check, num_tries = self._screened.check, 1
        if check is not None and not is_hit:  # what is kept has passed it
            events = checked(events, check, self._again, call.record.timeline)
            await stack.enter_async_context(aclosing(events))
            num_tries = TRIES
        self._reservation = await self._reservations.reserve(
            self._caller, call.record, _demand(self._served.name, started, num_tries)
        )
        call.answer_headers.update(self._reservation.headers)
        if is_hit:
            await self._begin()
            return await stack.enter_async_context(aclosing(self._released(events)))
        call.record.timeline.queued_at = self._clock()
        place = self._place = queue.join(
            replace(self._asked, tokens=expected_tokens(started), width=started.width)
        )
        if call.wants_queue_updates and place.is_waiting:
            return await stack.enter_async_context(aclosing(self._told(place, events)))
        await place.wait()
        await self._begin()
        return await stack.enter_async_context(aclosing(self._released(events)))

    async def end(self) -> None:
        """Give back and settle what it held; cancelling the caller does not cut that short."""
        record = self._call.record
        record.error_code = record.error_code or record.timeline.error_code
        if self._place is not None:
            self._place.leave(record.timeline.usage.total_tokens if self._has_begun else 0)
        try:
            if self._has_begun:
                await _to_its_end(self._trail.end(record))
        finally:
            await _to_its_end(self._reservation.settle(record, has_run=self._has_begun))

    async def _told(
        self, place: Place, events: AsyncGenerator[Event, None]
    ) -> AsyncGenerator[Event, None]:
        """Its places in the queue, then its events."""
        async with aclosing(place.updates()) as updates:
            async for update in updates:
                yield update
        await self._begin()
        async with aclosing(self._released(events)) as told:
            async for event in told:
                yield event

    async def _begin(self) -> None:
        screened = self._screened
        recorded = replace(screened.generation, **screened.recorded)
        self._trail = await self._audit.begin(self._caller, self._call.record, recorded)
        self._has_begun = True

    def _released(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """Its events, kept, recorded, and as its caller may see them."""
        generation = self._screened.generation
        num_choices = len(generation.prompts) * generation.n
        if self._lookup.cache is not None:
            events = self._lookup.watched(events, self._call.record, num_choices)
        most_ahead = int(num_choices > 1 or generation.wants_token_ids)
        if self._lookup.hit is not None or self._screened.check is not None:
            most_ahead = MOST_READY
        return released(events, self._trail, self._screened.last_stages, most_ahead=most_ahead)

    async def _started(self) -> tuple[AsyncGenerator[Event, None], Started]:
        """Its events, and their beginning. Raises its refusal, if there is one.

        Where the server is full, other tenants' requests may have to make room for it: at most as
        many as wait now.
        """
        queue, pipeline = self._served.queue, self._served.resident()
        for num_left in reversed(range(queue.num_waiting + 1)):
            events = pipeline.generate(self._request())
            try:
                first = await anext(events, None)
            except QueueFull as full:
                if num_left and await queue.make_room(self._asked):
                    continue
                raise queue.refusal(full.message, self._asked) from None
            if not isinstance(first, Started):
                break
            return events, first
        raise InternalError("The pipeline did not start the request.")

    def _again(self) -> AsyncGenerator[Event, None]:
        """Its second run, for a check that rejected the first."""
        return self._served.resident().generate(second_request(self._request()))

    def _request(self) -> GenerateRequest:
        generation, stages = self._screened.generation, self._screened.stages
        return GenerateRequest(
            **{part.name: getattr(generation, part.name) for part in fields(Generation)},
            request_id=self._call.record.request_id,
            tenant=self._caller.tenant,
            adapter=self._served.adapter,
            stages=None if stages is no_stages else stages,
            timeline=self._call.record.timeline,
        )

    def _left_s(self) -> float | None:
        deadline_at = self._asked.deadline_at
        return None if deadline_at is None else deadline_at - self._clock()


def _demand(model: str, started: Started, num_tries: int) -> Demand:
    return Demand(
        model=model,
        prompt_tokens=started.prompt_tokens * num_tries,
        max_completion_tokens=started.max_completion_tokens * num_tries,
        num_sequences=started.num_sequences * num_tries,
    )


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it whole, also where the caller is cancelled meanwhile; then that goes on."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
