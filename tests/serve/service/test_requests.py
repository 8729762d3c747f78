"""A request's life without HTTP: the same refusals, record and figures as by HTTP.

``in_process`` is a caller that has never heard of HTTP; the same requests go through the server's
own door beside it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.api.openai.chat import ChatCompletions
from serve.errors import Forbidden, ModelNotFound, QueueFull, RequestError
from serve.governance import keys
from serve.governance.authenticators import Credentials
from serve.governance.principal import ANONYMOUS, Principal, Scope
from serve.governance.reservations import Reservation
from serve.observe.record import RequestRecord
from serve.pipeline.answer import Answer
from serve.pipeline.events import Generation
from serve.service.call import Call
from serve.service.directory import Directory, Weights
from serve.service.requests import Service
from serve.timeline import Usage
from tests.serve.api.house import (
    ANSWER,
    House,
    Records,
    chat,
    house,
    is_free,
    pipeline_of,
    until,
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
        generation = ChatCompletions().parse(body).generation
        served = service.served(call, generation.model)
        answer = Answer()
        async with service.generate(call, served, generation) as events:
            async for event in events:
                answer.add(event)
        return answer.choices[0].text


def facts_of(record: RequestRecord) -> dict[str, Any]:
    """All of a record that does not differ from one run to the next."""
    return {
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "key_id": record.key_id,
        "model": record.model,
        "is_stream": record.is_stream,
        "error_code": record.error_code,
        "is_disconnected": record.is_disconnected,
        "usage": record.timeline.usage,
        "finish_reason": record.timeline.finish_reason,
        "stamps": [
            getattr(record.timeline, name) is not None
            for name in ("admitted_at", "submitted_at", "first_token_at", "finished_at")
        ],
    }


def counts_of(record: RequestRecord) -> list[str]:
    """The samples that a record leaves in the metrics, without those that measure time."""
    home = house()
    home.metrics.request_finished(record)
    lines = home.metrics.render()[0].decode().splitlines()
    counted = re.compile(r"intramural_(requests|refusals|disconnects|model|\w*tokens)_\w*total")
    found = [line for line in lines if counted.match(line)]
    assert any("requests_total{" in line for line in found)
    return found


async def outcome_of(service: Service, body: Mapping[str, Any]) -> tuple[Any, ...]:
    """Status, and the text or what the refusal says."""
    try:
        return 200, await in_process(service, body)
    except RequestError as error:
        return error.status, error.code, error.message, error.param


def outcome_in(response: httpx.Response) -> tuple[Any, ...]:
    """The same of an answer by HTTP."""
    body = response.json()
    if response.status_code == 200:
        return 200, body["choices"][0]["message"]["content"]
    error = body["error"]
    return response.status_code, error["code"], error["message"], error["param"]


def drained(home: House) -> None:
    home.service.is_draining = True


def dead(home: House) -> None:
    home.pipeline.engine.die("It stopped.")


CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "answered": (chat(), None),
    "two choices": (chat(n=2), None),
    "stopped by a string": (chat(stop=["log"]), None),
    "an unknown field": (chat(colour="red"), None),
    "an unknown model": (chat() | {"model": "other"}, None),
    "too long": (chat(max_tokens=10_000_000), None),
    "too many choices": (chat(n=8), None),
    "draining": (chat(), drained),
    "engine down": (chat(), dead),
}


@pytest.mark.parametrize("name", CASES)
async def test_with_and_without_http_come_to_the_same(name: str) -> None:
    body, before = CASES[name]
    by_http, by_call = (house(pipeline_of(max_waiting=2)) for _ in range(2))
    if before is not None:
        before(by_http)
        before(by_call)
    async with by_http.client() as client:
        response = await client.post(CHAT, json=body)
    assert await outcome_of(by_call.service, body) == outcome_in(response)
    assert facts_of(by_call.records.last) == facts_of(by_http.records.last)
    assert counts_of(by_call.records.last) == counts_of(by_http.records.last)
    assert len(by_call.records.all) == len(by_http.records.all) == 1
    assert is_free(by_call.pipeline)


@pytest.mark.parametrize("authorization", [(), ("Bearer sk-no",), ("a", "b")])
async def test_who_is_not_known_is_refused_alike(
    tmp_path: Path, authorization: tuple[str, ...]
) -> None:
    path = tmp_path / "keys.json"
    keys.create(path, name="ci")
    by_http, by_call = house(keys=path), house(keys=path)
    async with by_http.client() as client:
        headers = [("authorization", value) for value in authorization]
        response = await client.post(CHAT, json=chat(), headers=headers)
    with pytest.raises(RequestError) as refused:
        await in_process(by_call.service, chat(), Credentials(authorization=authorization))
    assert response.json()["error"]["message"] == refused.value.message
    facts = facts_of(by_http.records.last)
    # HTTP cannot know the route before it knows who asks.
    assert facts_of(by_call.records.last) | {"route": "unmatched"} == facts


async def test_a_stranger_is_refused_alike() -> None:
    by_http, by_call = house(), house()
    async with by_http.client(headers={"host": "evil.example"}) as client:
        response = await client.post(CHAT, json=chat())
    with pytest.raises(Forbidden) as refused:
        await in_process(by_call.service, chat(), Credentials(hosts=("evil.example",)))
    assert response.json()["error"]["message"] == refused.value.message


# What leaves early


async def test_a_caller_that_leaves_frees_everything_and_is_recorded() -> None:
    home = house(pipeline_of(tokens_per_s=20))
    task = asyncio.create_task(in_process(home.service, chat()))
    await until(lambda: home.pipeline.engine.load().num_running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_free(home.pipeline)
    assert home.records.last.is_disconnected
    assert home.records.last.status == 499


async def test_a_defect_is_recorded_as_one_and_goes_on() -> None:
    records = Records()
    service = Service(Directory(("demo",), created=0), (), listeners=(records,))
    with pytest.raises(ZeroDivisionError), service.call(method="POST"):
        _ = 1 / 0
    assert (records.last.status, records.last.error_code) == (500, "internal_error")


# What can refuse


@dataclass
class Ledger:
    """Reservations that write down what is asked of them."""

    refuses: bool = False
    lines: list[object] = field(default_factory=list)

    async def reserve(
        self, principal: Principal, model: str, generation: Generation
    ) -> Reservation:
        if self.refuses:
            raise QueueFull("The budget is used up.")
        self.lines.append((principal.tenant, model, generation.sampling.max_tokens))
        return self

    async def settle(self, usage: Usage) -> None:
        self.lines.append(replace(usage))


@dataclass
class Trail:
    """An audit trail in memory."""

    refuses: bool = False
    lines: list[str] = field(default_factory=list)

    async def begin(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> None:
        if self.refuses:
            raise QueueFull("The trail cannot be written.")
        self.lines.append(f"begin {record.request_id} {principal.tenant}")

    async def end(self, record: RequestRecord) -> None:
        self.lines.append(f"end {record.request_id} {record.timeline.finish_reason}")


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


async def test_what_is_reserved_is_settled_with_what_was_used() -> None:
    ledger = Ledger()
    service, records = service_of(reservations=ledger)
    assert await in_process(service, chat(max_tokens=99)) == ANSWER
    assert ledger.lines == [("anonymous", "demo", 99), records.last.timeline.usage]
    assert records.last.timeline.usage.completion_tokens > 0


async def test_what_is_reserved_is_settled_where_the_request_is_refused_after_it() -> None:
    ledger = Ledger()
    service, _ = service_of(reservations=ledger, audit=Trail(refuses=True))
    with pytest.raises(QueueFull, match="trail"):
        await in_process(service, chat())
    assert ledger.lines[1:] == [Usage()]


async def test_a_limit_refuses_before_the_engine_and_the_trail() -> None:
    trail = Trail()
    service, records = service_of(reservations=Ledger(refuses=True), audit=trail)
    with pytest.raises(QueueFull, match="budget"):
        await in_process(service, chat())
    assert trail.lines == []
    assert records.last.timeline.admitted_at is None
    assert (records.last.status, records.last.error_code) == (503, "queue_full")


async def test_the_trail_has_a_beginning_and_an_end() -> None:
    trail = Trail()
    service, records = service_of(audit=trail)
    await in_process(service, chat())
    request_id = records.last.request_id
    assert trail.lines == [f"begin {request_id} anonymous", f"end {request_id} stop"]


async def test_the_trail_ends_where_the_reader_leaves_in_the_middle() -> None:
    trail, ledger = Trail(), Ledger()
    service, _ = service_of(audit=trail, reservations=ledger)
    with service.call(method="POST") as call:
        service.authenticate(call, LOCAL)
        generation = ChatCompletions().parse(chat()).generation
        served = service.served(call, None)
        async with service.generate(call, served, generation) as events, aclosing(events):
            await anext(events)
    assert [line.split()[0] for line in trail.lines] == ["begin", "end"]
    assert len(ledger.lines) == 2
    assert served.pipeline is not None
    assert is_free(served.pipeline)  # type: ignore[arg-type]


@pytest.mark.parametrize(("scope", "is_let_in"), [("infer", True), ("admin", False), (None, True)])
def test_a_scope_is_needed(scope: Scope | None, is_let_in: bool) -> None:
    service, _ = service_of(replace(ANONYMOUS, scopes=frozenset({"infer"})))
    with service.call(method="GET") as call:
        service.authenticate(call, LOCAL)
        if is_let_in:
            service.authorise(call, scope)
        else:
            with pytest.raises(Forbidden, match="scope 'admin', and the key's scopes are: infer"):
                service.authorise(call, scope)


def test_a_key_sees_the_models_that_it_may_ask_and_no_other() -> None:
    service, _ = service_of(replace(ANONYMOUS, models=frozenset({"alias"})))
    with service.call(method="GET") as call:
        service.authenticate(call, LOCAL)
        assert [served.name for served in service.models_of(call)] == ["alias"]
        assert service.served(call, "alias").name == "alias"
        with pytest.raises(ModelNotFound, match="not served to this key"):
            service.served(call, "demo")


def test_nothing_can_be_authorised_before_it_is_authenticated() -> None:
    service, _ = service_of()
    with pytest.raises(RequestError) as refused, service.call(method="GET") as call:
        service.authorise(call, "infer")
    assert refused.value.code == "internal_error"
    assert isinstance(call, Call)
