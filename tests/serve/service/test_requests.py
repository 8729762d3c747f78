"""A request's life without HTTP: the same refusals, record and figures as by HTTP.

``in_process`` is a caller that has never heard of HTTP; the same requests go through the server's
own door beside it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.api.openai.chat import ChatCompletions
from serve.errors import Forbidden, ModelNotFound, RequestError
from serve.governance.identity import keys
from serve.governance.identity.credentials import Credentials
from serve.governance.principal import ANONYMOUS, Principal, Scope
from serve.observe.record import RequestRecord
from serve.pipeline.events import Finished
from serve.service.call import Call
from serve.service.directory import Directory
from serve.service.requests import Service
from tests.serve.api.house import (
    House,
    Records,
    chat,
    house,
    is_free,
    pipeline_of,
    until,
)
from tests.serve.service.callers import (
    CHAT,
    LOCAL,
    Ledger,
    in_process,
    outcome_of,
    service_of,
    straight_to_generate,
)


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
    assert facts_of(by_call.records.last) == facts_of(by_http.records.last)


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


async def test_a_caller_that_passes_events_on_is_recorded_with_their_error() -> None:
    home = house(pipeline_of(die_after=5))
    with home.service.call(method="POST") as call:
        home.service.authenticate(call, LOCAL)
        generation = ChatCompletions().parse(chat()).generation()
        served = home.service.served(call, None)
        async with home.service.generate(call, served, generation) as events:
            reasons = [event.reason async for event in events if isinstance(event, Finished)]
    assert reasons == ["error"]
    assert home.records.last.error_code == "engine_dead"


def test_a_generator_that_is_closed_early_is_a_caller_that_left() -> None:
    home = house()

    def passing_on() -> Iterator[int]:
        with home.service.call(method="POST"):
            yield 1

    events = passing_on()
    next(events)
    events.close()
    assert home.records.last.is_disconnected
    assert home.records.last.status == 499


# Whatever was asked of the service before, generate() holds to it


@pytest.mark.parametrize(
    ("principal", "error"),
    [
        (replace(ANONYMOUS, scopes=frozenset({"metrics"})), "forbidden"),
        (replace(ANONYMOUS, models=frozenset({"alias"})), "model_not_found"),
    ],
)
async def test_nobody_generates_who_may_not(principal: Principal, error: str) -> None:
    service, records = service_of(principal)
    with pytest.raises(RequestError):
        await straight_to_generate(service)
    assert records.last.error_code == error


async def test_nobody_generates_while_it_drains() -> None:
    service, records = service_of()
    service.is_draining = True
    with pytest.raises(RequestError):
        await straight_to_generate(service)
    assert records.last.error_code == "draining"


IMPOSSIBLE = [
    {"model": "demo", "prompt": [100_000]},
    {"model": "demo", "prompt": [1] * 2000},
    {"model": "demo", "prompt": "x", "logit_bias": {"100000": 1}},
    {"model": "demo", "prompt": "x", "stop_token_ids": [100_000]},
]


@pytest.mark.parametrize("body", IMPOSSIBLE)
async def test_what_can_never_run_is_refused_for_good_also_now(body: dict[str, Any]) -> None:
    ledger, home = Ledger(), house()
    home.service._reservations = ledger
    dead(home)
    async with home.client() as client:
        response = await client.post("/v1/completions", json=body)
    assert response.status_code == 400
    assert "x-should-retry" not in response.headers
    assert ledger.lines == []
    assert home.records.last.model == "demo"


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
        for name in ("demo", "none", None):
            with pytest.raises(ModelNotFound, match="not served to this key") as refused:
                service.served(call, name)
            assert refused.value.message.replace("none", "demo").count("demo") == bool(name)


def test_nothing_can_be_authorised_before_it_is_authenticated() -> None:
    service, _ = service_of()
    with pytest.raises(RequestError) as refused, service.call(method="GET") as call:
        service.authorise(call, "infer")
    assert refused.value.code == "internal_error"
    assert isinstance(call, Call)
