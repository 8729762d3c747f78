"""Callers within the process, and what stands in for limits, a trail and an authenticator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from serve.api.openai.chat import ChatCompletions
from serve.errors import QueueFull, RequestError
from serve.governance.identity.credentials import Credentials
from serve.governance.principal import ANONYMOUS, Principal
from serve.governance.reservations import Demand, Reservation
from serve.observe.record import RequestRecord
from serve.pipeline.answer import Answer
from serve.pipeline.events import Event, Generation, TextDelta
from serve.service.directory import Directory, Weights
from serve.service.requests import Service
from serve.timeline import Usage
from tests.serve.api.house import (
    Records,
    chat,
    pipeline_of,
)

CHAT = "/v1/chat/completions"


LOCAL = Credentials(hosts=("localhost",))


async def in_process(
    service: Service, body: Mapping[str, Any], credentials: Credentials = LOCAL
) -> str:
    """What a caller within the process does, and the answer's text."""
    with service.call(method="POST", route=CHAT) as call:
        service.authenticate(call, credentials)
        service.authorise(call, "infer")
        service.check_accepting()
        parsed = ChatCompletions().parse(body)
        served = service.served(call, parsed.model)
        generation = parsed.generation()
        answer = Answer()
        async with service.generate(call, served, generation) as events:
            async for event in events:
                answer.add(event)
        return answer.choices[0].text


async def outcome_of(service: Service, body: Mapping[str, Any]) -> tuple[Any, ...]:
    """Status, and the text or what the refusal says."""
    try:
        return 200, await in_process(service, body)
    except RequestError as error:
        return error.status, error.code, error.message, error.param


@dataclass
class Ledger:
    """Reservations that write down what is asked of them."""

    refuses: bool = False
    lines: list[object] = field(default_factory=list)

    @property
    def headers(self) -> Mapping[str, str]:
        return {"x-ratelimit-remaining-tokens": "7"}

    async def check(self, principal: Principal, model: str) -> None:
        pass

    async def reserve(
        self, principal: Principal, record: RequestRecord, demand: Demand
    ) -> Reservation:
        if self.refuses:
            raise QueueFull("The budget is used up.")
        self.lines.append((principal.tenant, demand.model, demand.max_completion_tokens))
        return self

    async def settle(self, record: RequestRecord, *, has_run: bool) -> None:
        self.lines.append(replace(record.timeline.usage) if has_run else Usage())


@dataclass
class Trail:
    """An audit trail in memory: all requests' (an Audit), and each one's (a Trail)."""

    refuses: bool = False
    wants_events: bool = False
    waits: bool = False
    lines: list[str] = field(default_factory=list)

    def check(self) -> None:
        pass

    async def act(
        self,
        principal: Principal | None,
        record: RequestRecord,
        act: str,
        details: Mapping[str, Any],
    ) -> None:
        self.lines.append(f"act {act}")

    async def begin(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Self:
        if self.refuses:
            raise QueueFull("The trail cannot be written.")
        self.lines.append(f"begin {record.request_id} {principal.tenant}")
        return self

    async def tell(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self.lines.append(f"text {event.text}")

    async def end(self, record: RequestRecord) -> None:
        end = record.error_code or record.timeline.finish_reason
        left = " left" if record.is_disconnected else ""
        self.lines.append(f"end {record.request_id} {end}{left}")


class Known:
    """An authenticator that knows everyone as one principal."""

    def __init__(self, principal: Principal = ANONYMOUS) -> None:
        self._principal = principal

    def authenticate(self, credentials: Credentials) -> Principal:
        return self._principal


def service_of(principal: Principal = ANONYMOUS, **parts: Any) -> tuple[Service, Records]:
    records = Records()
    directory = Directory(("demo", "alias"), created=0)
    directory.publish(pipeline_of(), Weights())
    return Service(directory, (Known(principal),), listeners=(records,), **parts), records


@dataclass
class Slow(Ledger):
    """Reservations that take their time to settle."""

    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def settle(self, record: RequestRecord, *, has_run: bool) -> None:
        self.began.set()
        await asyncio.sleep(0.02)
        await super().settle(record, has_run=has_run)


async def straight_to_generate(service: Service) -> None:
    """What a caller does that forgets to be authorised and to look up the model."""
    generation = ChatCompletions().parse(chat()).generation()
    with service.call(method="POST") as call:
        service.authenticate(call, LOCAL)
        async with service.generate(call, service.directory.find("demo"), generation) as events:
            await anext(events)
