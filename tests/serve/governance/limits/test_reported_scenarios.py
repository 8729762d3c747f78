"""Seven reports against gateways, replayed against this server; each test is named after its own.

The requests are whole ones, through the service, the pipeline and the fake engine. The database is
SQLite, and PostgreSQL where that is installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serve.api.openai.chat import ChatCompletions
from serve.errors import EngineDeadError, InsufficientQuota, RateLimited, RequestError, StartupError
from serve.governance.limits.limits_file import parse_rules
from serve.governance.principal import Principal
from serve.observe.record import RequestRecord
from serve.pipeline.answer import Answer
from serve.service.directory import Directory, Weights
from serve.service.requests import Service
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.counting.valkey_counters import ValkeyCounters
from serve.storage.database import Database
from serve.storage.ledger import Settlement
from serve.storage.places import Patience, Place, PostgresqlServer
from tests.serve.api.house import Records, chat, pipeline_of, script_of, until
from tests.serve.governance.limits.limited import (
    ANN,
    ANN_AGAIN,
    KNOWN,
    PRICES,
    House,
    all_of,
    limits,
)
from tests.serve.service.callers import LOCAL, Known
from tests.servers.fixtures import needs_postgres, needs_redis
from tests.servers.redis import RedisServer

LONG = "word " * 400
PATIENT = Patience(answer_s=5.0, connect_s=5.0, turn_s=10.0, queue_s=60.0)


@pytest.fixture
async def database(migrated_place: Place) -> AsyncIterator[Database]:
    """A database that is open, with our tables, on SQLite and on PostgreSQL."""
    opened = Database(migrated_place)
    yield opened
    await opened.close()


def service_of(house: House, principal: Principal = ANN, **fake: Any) -> tuple[Service, Records]:
    """A server with these limits, which knows everybody as one caller."""
    records = Records()
    directory = Directory(("demo", "alias"), created=0)
    directory.publish(pipeline_of(max_waiting=64, max_model_len=2048, **fake), Weights())
    service = Service(
        directory, (Known(principal),), reservations=house.reservations, listeners=(records,)
    )
    return service, records


async def ask(service: Service, body: Mapping[str, Any]) -> Answer:
    """A whole request of a caller within the process."""
    with service.call(method="POST", route="/v1/chat/completions") as call:
        service.authenticate(call, LOCAL)
        parsed = ChatCompletions().parse(body)
        answer = Answer()
        served = service.served(call, parsed.model)
        async with service.generate(call, served, parsed.generation()) as events:
            async for event in events:
                answer.add(event)
        return answer


def used(records: list[RequestRecord]) -> int:
    return sum(record.timeline.usage.total_tokens for record in records)


async def test_litellm_18730_five_requests_at_once_through_a_token_limit(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "each key"\nkey = "*"\ntokens_per_minute = 110\n'
    async with limits(database, tmp_path, text) as house:
        service, records = service_of(house, script=script_of(LONG))
        body = chat(max_tokens=30)
        answers = await all_of(*(ask(service, body) for _ in range(5)))
        refused = [answer for answer in answers if isinstance(answer, RateLimited)]
        assert len(refused) == 3  # 23 of a prompt and 30: two fit
        assert used([record for record in records.all if not record.error_code]) == 106
        assert all("'each key' (per key) is 110 tokens a minute" in str(e) for e in refused)


@needs_postgres
@needs_redis
async def test_litellm_18730_five_at_once_on_each_of_two_replicas(
    migrated_postgres: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Rates in Valkey's or Redis' server, budgets in PostgreSQL, and both replicas ask at once."""
    text = PRICES + (
        '[[limits]]\nname = "each key"\nkey = "*"\ntokens_per_minute = 220\n'
        '[[limits]]\nname = "all"\nmoney_per_day = "0.000249"\n'  # three times 83 millionths
    )
    async with AsyncExitStack() as stack:
        houses = []
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            opened = Database(PostgresqlServer(conninfo=migrated_postgres, patience=PATIENT))
            stack.push_async_callback(opened.close)
            rates = ValkeyCounters(redis_server.url, timeout_s=5)
            stack.push_async_callback(rates.close)
            houses.append(
                await stack.enter_async_context(limits(opened, folder, text, rates=rates))
            )
        services = [service_of(house, script=script_of(LONG))[0] for house in houses]
        body = chat(max_tokens=30)
        answers = await all_of(*(ask(services[number % 2], body) for number in range(10)))
        assert sum(isinstance(answer, Answer) for answer in answers) == 3
        refused = [answer for answer in answers if not isinstance(answer, Answer)]
        assert all(isinstance(each, RateLimited | InsufficientQuota) for each in refused), refused
        for house in houses:
            await house.reservations.settled()
        assert await houses[0].num_reserved() == 0
        assert list((await houses[1].accounts()).values()) == [249]
        assert sum(row.cost_micros for row in await houses[1].rows()) == 249


async def test_litellm_34732_a_budget_bypassed_by_a_second_key(
    database: Database, tmp_path: Path
) -> None:
    text = PRICES + '[[limits]]\nname = "each user"\nuser = "*"\nmoney_per_month = "0.0001"\n'
    async with limits(database, tmp_path, text) as house:
        first, _ = service_of(house, ANN)
        second, _ = service_of(house, ANN_AGAIN)
        other, _ = service_of(house, replace(ANN_AGAIN, owner="ben"))
        await ask(first, chat(max_tokens=30))
        with pytest.raises(InsufficientQuota, match="'each user'"):
            await ask(second, chat(max_tokens=30))
        await ask(other, chat(max_tokens=30))
        (ann, ben) = (await house.accounts()).values()
        assert ann <= 100
        assert ben <= 100


async def test_litellm_27639_a_reservation_not_released_after_a_failed_call(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "all"\nconcurrent_requests = 1\ntokens_per_day = 300\n'
    async with limits(database, tmp_path, text) as house:
        service, records = service_of(house, script=script_of(LONG), die_after=5)
        with pytest.raises(EngineDeadError):
            await ask(service, chat(max_tokens=50))
        assert records.last.error_code == "engine_dead"
        assert await house.num_reserved() == house.reservations.leases.num_held == 0
        (row,) = await house.rows()
        assert row.outcome == "engine_dead"
        assert row.prompt_tokens + row.completion_tokens == used(records.all)
        well, _ = service_of(house)
        await ask(well, chat(max_tokens=30))


async def test_litellm_36926_a_reservation_not_released_after_a_cancelled_stream(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "all"\nconcurrent_requests = 1\ntokens_per_day = 4000\n'
    async with limits(database, tmp_path, text) as house:
        service, records = service_of(house, script=script_of(LONG), tokens_per_s=200)
        for num_events in range(3):
            with service.call(method="POST") as call:
                service.authenticate(call, LOCAL)
                generation = ChatCompletions().parse(chat(max_tokens=300)).generation()
                served = service.served(call, None)
                async with service.generate(call, served, generation) as events, aclosing(events):
                    for _ in range(num_events):
                        await anext(events)
        task = asyncio.create_task(ask(service, chat(max_tokens=300)))
        running = service.directory.default.resident().engine
        await until(lambda: running.load().num_running == 1)
        task.cancel()
        await asyncio.wait({task})
        await house.reservations.settled()
        assert await house.num_reserved() == house.reservations.leases.num_held == 0
        rows = await house.rows()
        assert sum(row.prompt_tokens + row.completion_tokens for row in rows) == used(records.all)
        await house.reserve(10, 90)


async def test_litellm_27735_40050_counters_that_drift_from_the_ledger(
    database: Database, tmp_path: Path
) -> None:
    """Restarts, leases that lapse, answers that are lost, and a database that is away."""
    text = PRICES + '[[limits]]\nname = "each user"\nuser = "*"\nmoney_per_day = "1.00"\n'
    for _ in range(2):
        async with limits(database, tmp_path, text) as house:
            await house.reservations.settlements.retry()  # as at every start
            service, _ = service_of(house)
            await all_of(*(ask(service, chat(max_tokens=30)) for _ in range(3)))
            lapsed, record = await house.reserve(10, 500)
            lapsed.reservations.leases.let_go(record.request_id)
            await house.reservations._budgets.extend([record.request_id], lease_ms=1)
            record.timeline.usage.prompt_tokens = record.timeline.usage.completion_tokens = 10
            await asyncio.sleep(0.002)
            await lapsed.settle(record, has_run=True)  # its lease has ended, its usage counts
            killed, _ = await house.reserve(10, 500)
            await house.reservations._budgets.extend([killed.request_id], lease_ms=1)
            running = [await house.reserve(10, 20) for _ in range(2)]
            for (held, record), way in zip(running, ("fails", "fails_afterwards"), strict=True):
                record.timeline.usage.prompt_tokens = 10
                setattr(house.database, way, True)
                await held.settle(record, has_run=True)
                setattr(house.database, way, False)
            assert house.spool.num_rows == 2
            # It ends here, and the next one finds the spool as it was left.
            house.reservations.settlements._ledger = Nowhere()
    async with limits(database, tmp_path, text) as house:
        await house.reservations.settlements.retry()
        assert house.spool.is_empty
        rows = await house.rows()
        assert len(rows) == 2 * (3 + 1 + 2)
        total = sum(row.cost_micros for row in rows)
        assert (await house.accounts()) == {
            "each user/money_per_day/user=ann:of=tenant/2026-11-30": total
        }
        # Who has money is not refused: all of it, to the last millionth.
        left = 1_000_000 - total
        prompt = left % 2 + 2
        held, _ = await house.reserve(prompt, (left - prompt) // 2)
        assert held.told[0][1].remaining == 0


class Nowhere:
    """A ledger that takes nothing, as that of a process that was killed."""

    async def enter(self, settlements: Sequence[Settlement], /) -> None:
        raise StoreUnavailable("killed")


def test_envoy_a_limit_that_names_a_model_not_served() -> None:
    with pytest.raises(StartupError) as refused:
        parse_rules('[[limits]]\nname = "m"\nmodel = "demp"\ntokens_per_day = 9\n', KNOWN)
    assert str(refused.value) == (
        "[[limits]] no. 1, 'm': model is 'demp', and it is not served here. Did you mean demo?"
    )


async def test_envoy_a_stream_with_room_for_1000_tokens_that_runs_to_1200(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "all"\ntokens_per_day = 1000\n'
    async with limits(database, tmp_path, text) as house:
        service, records = service_of(house, script=script_of(LONG * 3))
        with pytest.raises(InsufficientQuota) as refused:
            await ask(service, chat(max_tokens=1200))
        assert "its limit is 1,000 tokens a day" in refused.value.message
        assert "1,000 tokens are left, the prompt's included" in refused.value.message
        prompt = records.last.timeline.usage.prompt_tokens
        answer = await ask(service, chat(max_tokens=1000 - prompt))
        assert answer.choices[0].reason == "length"
        assert list((await house.accounts()).values()) == [1000]
        with pytest.raises(RequestError):
            await ask(service, chat(max_tokens=1))
