"""The sender: each alert reaches its receiver, once as far as that can be, and nothing else."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select

from serve.governance.alerts import sender as sender_module
from serve.governance.alerts.channel import DeliveryError
from serve.governance.alerts.rules import FIELDS, crossed
from serve.governance.alerts.sender import MAX_REST_S, MAX_TRIES_PER_DAY, AlertSender, retry_s
from serve.storage import alert_outbox, schema
from serve.storage.alert_outbox import DAY_MS, EXPIRE_AFTER_MS, Outgoing, enqueue_in
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database
from serve.storage.places import SqliteFile
from tests.serve.governance.alerts.receivers import OK, receiving
from tests.serve.governance.alerts.test_webhook import webhook

FAILED = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
CANARY = "canary-7f3a"


class Clocks:
    """The store's time and the process's own, which go together."""

    def __init__(self) -> None:
        self.ms = 1_764_400_000_000

    def __call__(self, _connection: object) -> int:
        return self.ms

    def seconds(self) -> float:
        return self.ms / 1000


class Listener:
    def __init__(self) -> None:
        self.tried: list[tuple[str, bool]] = []
        self.pending: list[int] = []
        self.num_given_up = 0

    def alert_tried(self, channel: str, *, is_taken: bool) -> None:
        self.tried.append((channel, is_taken))

    def alerts_pending(self, num_alerts: int) -> None:
        self.pending.append(num_alerts)

    def alerts_given_up(self, num_alerts: int) -> None:
        self.num_given_up += num_alerts


class Recorder:
    """A channel that keeps what it is given, and fails so many times before."""

    timeout_s = 5.0

    def __init__(self, num_failures: int = 0) -> None:
        self.num_failures = num_failures
        self.sent: list[Outgoing] = []

    async def send(self, outgoing: Outgoing) -> None:
        self.sent.append(outgoing)
        await asyncio.sleep(0)
        if len(self.sent) <= self.num_failures:
            raise DeliveryError("the answer was 500")


@pytest.fixture
def clocks(monkeypatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(alert_outbox, "now_ms", clocks)
    return clocks


@pytest.fixture
def place(database_file) -> SqliteFile:
    return SqliteFile(path=database_file)


@asynccontextmanager
async def opened(place: SqliteFile):
    database = Database(place)
    try:
        yield database
    finally:
        await database.close()


def settling(*thresholds: int, name: str = "budget/2026-11"):
    """A settlement that crosses thresholds; the prompt was the canary."""

    def work(connection) -> None:
        for alert in crossed(name, 1000, 0, 1000, thresholds, tenant="ward", owner="ann"):
            enqueue_in(connection, alert, ("webhook",))

    return work


def sender_of(database: Any, channel: Any, clocks: Clocks, listener: Any = None) -> AlertSender:
    return AlertSender(
        database,
        {"webhook": channel},
        listener or Listener(),
        draw=lambda: 0.5,
        clock=clocks.seconds,
    )


async def test_500s_and_then_ok_is_one_alert_with_one_id(place, clocks):
    listener = Listener()
    async with opened(place) as database, receiving(FAILED, FAILED, OK) as receiver:
        await database.write(settling(80))
        sender = sender_of(database, webhook(receiver.port), clocks, listener)
        for seconds in (0, 4, 1, 9, 1, 0, 0):
            clocks.ms += seconds * 1000
            await sender.send_due()
    assert [is_taken for _, is_taken in listener.tried] == [False, False, True]
    assert len({posted.headers["x-intramural-delivery"] for posted in receiver.posted}) == 1
    assert len({posted.body for posted in receiver.posted}) == 1
    assert listener.pending[0] == 1
    assert listener.pending[-1] == 0


async def test_a_restart_between_tries_loses_nothing(place, clocks):
    async with receiving(FAILED, OK) as receiver:
        async with opened(place) as database:
            await database.write(settling(80))
            await sender_of(database, webhook(receiver.port), clocks).send_due()
        clocks.ms += 5000
        async with opened(place) as database:
            await sender_of(database, webhook(receiver.port), clocks).send_due()
        assert len(receiver.posted) == 2
        async with opened(place) as database:
            assert await database.read(alert_outbox.num_pending) == 0


async def test_a_sender_that_dies_in_mid_delivery_delays_and_repeats(place, clocks):
    class Dying(Recorder):
        async def send(self, outgoing: Outgoing) -> None:
            await super().send(outgoing)
            raise asyncio.CancelledError

    async with opened(place) as database:
        await database.write(settling(80))
        dying, other = Dying(), Recorder()
        with pytest.raises(asyncio.CancelledError):
            await sender_of(database, dying, clocks)._round("webhook", dying)
        second = sender_of(database, other, clocks)
        await second.send_due()
        assert other.sent == [], "it is claimed"
        clocks.ms += 65_000
        await second.send_due()
        assert [each.alert_id for each in other.sent] == [each.alert_id for each in dying.sent]


async def test_two_senders_deliver_each_alert_once(migrated_place, clocks):
    channel = Recorder()
    async with opened(migrated_place) as one, opened(migrated_place) as two:
        for number in range(20):
            await one.write(settling(50, 80, name=f"budget {number}"))
        senders = [sender_of(database, channel, clocks) for database in (one, two)]
        for _ in range(3):
            await asyncio.gather(*(sender.send_due() for sender in senders))
    ids = [outgoing.alert_id for outgoing in channel.sent]
    assert len(ids) == len(set(ids)) == 40


async def test_what_leaves_is_of_a_closed_set_and_no_text_of_anybody(place, clocks):
    """The canary stands in the row's owner: only what the rules list is in the payload."""
    channel = Recorder()

    def work(connection) -> None:
        (alert,) = crossed("budget", 10, 0, 9, [80], tenant="ward", owner=CANARY)
        enqueue_in(connection, alert, ("webhook",))

    async with opened(place) as database:
        await database.write(work)
        await sender_of(database, channel, clocks).send_due()
        owners = await database.read(lambda c: c.execute(select(schema.alerts.c.owner)).all())
    assert owners == [(CANARY,)]
    fields = json.loads(channel.sent[0].payload)
    assert fields.keys() == FIELDS
    assert CANARY not in channel.sent[0].payload
    assert all(isinstance(value, int | str) for value in fields.values())


async def test_tries_of_a_day_are_bounded(place, clocks):
    listener, channel = Listener(), Recorder(num_failures=10**6)
    async with opened(place) as database:
        await database.write(settling(80))
        sender = sender_of(database, channel, clocks, listener)
        for _ in range(24 * 3):
            clocks.ms += 1_200_000
            await sender.send_due()
        assert 20 <= len(channel.sent) <= MAX_TRIES_PER_DAY
        clocks.ms += EXPIRE_AFTER_MS
        await sender.send_due()
        await sender.tidy()
        await sender.tidy()
        assert listener.num_given_up == 1


def test_tries_of_a_day_are_bounded_whatever_is_drawn():
    total_s, num_tries = 0.0, 0
    while total_s < DAY_MS / 1000:
        num_tries += 1
        total_s += retry_s(num_tries, 0.0)
    assert num_tries <= MAX_TRIES_PER_DAY
    assert retry_s(1, 0.0) == 4.0
    assert retry_s(1, 1.0) == 6.0
    assert retry_s(10**6, 0.5) == 3600.0


async def test_a_receiver_that_is_away_is_not_asked_for_each_alert(place, clocks):
    channel = Recorder(num_failures=10**6)
    async with opened(place) as database:
        for number in range(30):
            await database.write(settling(80, name=f"budget {number}"))
        sender = sender_of(database, channel, clocks)
        await sender.send_due()
        assert len(channel.sent) == 1
        clocks.ms += int(MAX_REST_S * 1000)
        channel.num_failures = 0
        await sender.send_due()
        assert len(channel.sent) == 31


async def test_a_defect_of_a_channel_ends_nothing(place, clocks, caplog):
    class Broken(Recorder):
        async def send(self, outgoing: Outgoing) -> None:
            raise KeyError(CANARY)

    listener = Listener()
    async with opened(place) as database:
        await database.write(settling(80))
        await sender_of(database, Broken(), clocks, listener).send_due()
    assert listener.tried == [("webhook", False)]
    assert "a defect (KeyError)" in caplog.records[-1].__dict__["reason"]
    assert CANARY not in str([record.__dict__ for record in caplog.records])


async def test_it_waits_for_a_database_that_is_away(monkeypatch, caplog):
    class Away:
        num_asked = 0

        async def write(self, _work: Any) -> Any:
            self.num_asked += 1
            raise StoreUnavailable("away")

        read = write

    async def sleep(_seconds: float) -> None:
        if away.num_asked >= 3:
            raise asyncio.CancelledError

    away = Away()
    monkeypatch.setattr(sender_module.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await sender_of(away, Recorder(), Clocks()).run()
    assert [record.message for record in caplog.records] == [
        "alerts wait: the database does not answer"
    ]


async def test_a_defect_does_not_end_it(monkeypatch, caplog):
    class Defective:
        num_asked = 0

        async def write(self, _work: Any) -> Any:
            self.num_asked += 1
            raise KeyError(CANARY)

        read = write

    async def sleep(_seconds: float) -> None:
        if defective.num_asked >= 3:
            raise asyncio.CancelledError

    defective = Defective()
    monkeypatch.setattr(sender_module.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await sender_of(defective, Recorder(), Clocks()).run()
    assert {record.message for record in caplog.records} == {"alerts were not sent: a defect"}
    assert CANARY not in str([record.__dict__ for record in caplog.records])


async def test_it_runs_until_it_is_ended(place, clocks, monkeypatch):
    channel = Recorder()
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        await real_sleep(0)
        if seconds:
            clocks.ms += int(seconds * 1000)

    monkeypatch.setattr(sender_module.asyncio, "sleep", sleep)
    async with opened(place) as database:
        await database.write(settling(50, 80, 100))
        running = asyncio.create_task(sender_of(database, channel, clocks).run())
        while len(channel.sent) < 3:
            await real_sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
