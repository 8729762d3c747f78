"""The outbox on both databases: each alert once, to one sender at a time, until it is taken."""

from __future__ import annotations

import asyncio
import json

import pytest

from serve.storage import alert_outbox
from serve.storage.alert_outbox import (
    DAY_MS,
    EXPIRE_AFTER_MS,
    FORGET_AFTER_MS,
    Alert,
    claim,
    enqueue_in,
    failed,
    is_any_due,
    num_pending,
    taken,
    tidy,
)

CLAIM_MS = 60_000


class Clock:
    """The store's time, which a test moves."""

    def __init__(self) -> None:
        self.now_ms = 1_764_400_000_000

    def __call__(self, _connection: object) -> int:
        return self.now_ms


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(alert_outbox, "now_ms", clock)
    return clock


def alert(subject: str = "budget 80%", **fields: int | str) -> Alert:
    return Alert(subject=subject, tenant="ward", owner="", fields={"used": 81, **fields})


def enqueuing(*alerts: Alert, channels: tuple[str, ...] = ("webhook",)):
    def work(connection) -> None:
        for each in alerts:
            enqueue_in(connection, each, channels)

    return work


def claiming(channel: str = "webhook", limit: int = 10):
    return lambda connection: claim(connection, channel, limit=limit, claim_ms=CLAIM_MS)


async def test_an_alert_is_told_once_by_each_channel(database, clock):
    both = ("webhook", "mail")
    for _ in range(3):
        await database.write(enqueuing(alert(), alert(), channels=both))
    assert await database.read(num_pending) == 2
    (by_webhook,) = await database.write(claiming())
    (by_mail,) = await database.write(claiming("mail"))
    assert by_webhook.alert_id.startswith("webhook-")
    assert by_mail.alert_id.startswith("mail-")
    assert json.loads(by_webhook.payload) == {
        "id": by_webhook.alert_id,
        "used": 81,
        "created_at": clock.now_ms // 1000,
    }


async def test_it_is_there_exactly_if_its_transaction_is(database, clock):
    def failing(connection) -> None:
        enqueue_in(connection, alert(), ("webhook",))
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(failing)
    assert await database.read(num_pending) == 0
    await database.write(enqueuing(alert()))
    assert await database.read(num_pending) == 1


async def test_a_claimed_one_is_nobody_elses_until_the_claim_ends(database, clock):
    await database.write(enqueuing(*(alert(f"s{number}") for number in range(5))))
    claims = await asyncio.gather(*(database.write(claiming(limit=2)) for _ in range(4)))
    ids = [outgoing.alert_id for claimed in claims for outgoing in claimed]
    assert len(ids) == len(set(ids)) == 5
    assert not await database.read(lambda c: is_any_due(c, "webhook"))
    clock.now_ms += CLAIM_MS
    again = await database.write(claiming())
    assert {(outgoing.alert_id, outgoing.num_tries) for outgoing in again} == {
        (alert_id, 2) for alert_id in ids
    }


async def test_what_was_taken_is_over_and_not_told_again(database, clock):
    await database.write(enqueuing(alert()))
    (outgoing,) = await database.write(claiming())
    await database.write(lambda c: taken(c, outgoing))
    clock.now_ms += DAY_MS
    await database.write(enqueuing(alert()))
    assert await database.read(num_pending) == 0
    assert await database.write(claiming()) == ()


async def test_what_failed_comes_again_in_its_time(database, clock):
    await database.write(enqueuing(alert()))
    (outgoing,) = await database.write(claiming())
    await database.write(lambda c: failed(c, outgoing, retry_in_ms=5000))
    clock.now_ms += 4999
    assert await database.write(claiming()) == ()
    clock.now_ms += 1
    assert len(await database.write(claiming())) == 1


async def test_a_late_failure_does_not_free_anothers_claim(database, clock):
    await database.write(enqueuing(alert()))
    (slow,) = await database.write(claiming())
    clock.now_ms += CLAIM_MS
    (quick,) = await database.write(claiming())
    await database.write(lambda c: failed(c, slow, retry_in_ms=0))
    assert await database.write(claiming()) == ()
    await database.write(lambda c: taken(c, quick))
    await database.write(lambda c: failed(c, quick, retry_in_ms=0))
    assert await database.read(num_pending) == 0


async def test_nobody_waits_for_a_clock_that_was_set_back(database, clock):
    await database.write(enqueuing(alert()))
    (outgoing,) = await database.write(claiming())
    await database.write(lambda c: failed(c, outgoing, retry_in_ms=1000))
    clock.now_ms -= 2 * DAY_MS
    assert len(await database.write(claiming())) == 1


async def test_what_nobody_takes_is_given_up_once_and_later_forgotten(database, clock):
    await database.write(enqueuing(alert()))
    assert await database.write(tidy) == 0
    clock.now_ms += EXPIRE_AFTER_MS + 1
    assert await database.write(claiming()) == ()
    assert [await database.write(tidy) for _ in range(2)] == [1, 0]
    assert await database.read(num_pending) == 0
    await database.write(enqueuing(alert()))
    assert await database.read(num_pending) == 0, "it was told, as far as that could be"
    clock.now_ms += FORGET_AFTER_MS
    await database.write(tidy)
    await database.write(enqueuing(alert()))
    assert await database.read(num_pending) == 1


async def test_long_subjects_differ_by_their_ends(database, clock):
    subject = "account " * 100
    await database.write(enqueuing(alert(subject + "50%"), alert(subject + "80%")))
    assert await database.read(num_pending) == 2


@pytest.mark.parametrize(
    "value", ["x" * 513, "a\nb", "a\x1b[0m", 1.5, None, True, ["nested"], {"a": 1}]
)
async def test_only_numbers_and_short_ids_get_in(database, value):
    with pytest.raises(ValueError, match="whole numbers and short ids"):
        await database.write(enqueuing(alert(extra=value)))
    assert await database.read(num_pending) == 0


async def test_a_channel_has_a_plain_name(database):
    with pytest.raises(ValueError, match="small letters"):
        await database.write(enqueuing(alert(), channels=("web%",)))
