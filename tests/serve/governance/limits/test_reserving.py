"""Reservations: both stores or neither, what headers tell, and every end of a request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from serve.errors import BudgetStoreUnavailable, InsufficientQuota, RateLimited, RequestError
from serve.governance.limits.accounts import DAY_MS
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.counting.fallback_counters import FallbackCounters
from serve.storage.counting.memory_counters import MemoryCounters
from serve.storage.database import Database
from serve.timeline import Usage
from tests.serve.governance.limits.limited import ANN, ANN_AGAIN, PRICES, limits

EACH_USER = """
[[limits]]
name = "each user"
user = "*"
requests_per_minute = 3
tokens_per_minute = 1000
tokens_per_day = 5000
"""


async def test_headers_tell_the_room_that_is_left(database: Database, tmp_path: Path) -> None:
    async with limits(database, tmp_path, EACH_USER) as house:
        held, record = await house.reserve(10, 90)
        assert held.headers == {
            "x-ratelimit-limit-requests": "3",
            "x-ratelimit-remaining-requests": "2",
            "x-ratelimit-reset-requests": "20s",
            "x-ratelimit-limit-tokens": "1000",
            "x-ratelimit-remaining-tokens": "900",
            "x-ratelimit-reset-tokens": "6s",
        }
        record.timeline.usage = Usage(prompt_tokens=10, completion_tokens=5)
        await held.settle(record, has_run=True)
        held, _ = await house.reserve(10, 90)
        assert held.headers["x-ratelimit-remaining-tokens"] == "885"


async def test_what_a_rate_refuses_is_told_when_it_fits(database: Database, tmp_path: Path) -> None:
    async with limits(database, tmp_path, EACH_USER) as house:
        for _ in range(3):
            await house.reserve(1, 1)
        with pytest.raises(RateLimited) as refused:
            await house.reserve(1, 1)
        error = refused.value
        assert "'each user' (per user) is 3 requests a minute" in error.message
        assert error.headers["x-ratelimit-remaining-requests"] == "0"
        assert house.told.refused == [("each user", "requests_per_minute")]
        assert (error.retry_after_s, error.is_final) != (None, True)


async def test_what_never_fits_is_refused_for_good(database: Database, tmp_path: Path) -> None:
    async with limits(database, tmp_path, EACH_USER) as house:
        with pytest.raises(RateLimited, match="can never fit") as refused:
            await house.reserve(1, 1000)
        assert (refused.value.retry_after_s, refused.value.is_final) == (None, True)


async def test_what_fits_no_share_may_be_asked_again(database: Database, tmp_path: Path) -> None:
    class Away(MemoryCounters):
        async def reserve(self, *_: Any, **__: Any) -> Any:
            raise StoreUnavailable("away")

    rates = FallbackCounters(Away(), lambda: 4)
    async with limits(database, tmp_path, EACH_USER, rates=rates) as house:
        with pytest.raises(
            RateLimited, match=r"1,000 tokens a minute, of which .* has 250"
        ) as told:
            await house.reserve(100, 400)
        assert (told.value.is_final, told.value.retry_after_s) == (False, 5)
        with pytest.raises(RateLimited, match="can never fit") as told:
            await house.reserve(100, 1000)
        assert told.value.is_final


BUDGET = (
    PRICES
    + """
[[limits]]
name = "each user"
user = "*"
concurrent_requests = 9
money_per_day = "0.001"
"""
)


async def test_a_budget_that_refuses_gives_the_rates_back(
    database: Database, tmp_path: Path
) -> None:
    async with limits(database, tmp_path, BUDGET) as house:
        with pytest.raises(InsufficientQuota) as refused:
            await house.reserve(10, 900)
        assert "its limit is 0.001 EUR a day" in refused.value.message
        assert "asks for up to 0.00181 EUR" in refused.value.message
        assert refused.value.is_final
        await house.reservations.settled()
        assert house.reservations.leases.num_held == 0
        held, record = await house.reserve(10, 90)
        assert held.told[0][1].reserved == 1
        await held.settle(record, has_run=False)
        assert await house.num_reserved() == 0
        assert await house.rows() == []


async def test_money_is_charged_to_the_millionth(database: Database, tmp_path: Path) -> None:
    async with limits(database, tmp_path, BUDGET) as house:
        held, record = await house.reserve(100, 300)
        record.timeline.usage = Usage(prompt_tokens=100, cached_tokens=95, completion_tokens=7)
        record.timeline.finish_reason = "stop"
        await held.settle(record, has_run=True)
        (row,) = await house.rows()
        assert row.cost_micros == 5 + 10 + 14  # 95 cached at a tenth are 9.5, rounded up once
        assert list((await house.accounts()).values()) == [29]
        assert (row.currency, row.outcome, row.owner) == ("EUR", "stop", "ann")
        assert row.day == "2026-11-30"


async def test_no_store_is_asked_by_a_budget_that_is_known_to_be_gone(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "all"\ntokens_per_day = 100\n'
    async with limits(database, tmp_path, text) as house:
        await house.reservations.check(ANN, "demo")
        held, record = await house.reserve(10, 90)
        await house.reservations.check(ANN, "demo")  # reserved is not used
        record.timeline.usage = Usage(prompt_tokens=10, completion_tokens=90)
        await held.settle(record, has_run=True)
        with pytest.raises(InsufficientQuota):
            await house.reserve(1, 1)
        house.database.fails = True  # whoever asked it would be told so
        with pytest.raises(InsufficientQuota, match="100 tokens a day"):
            await house.reservations.check(ANN, "demo")
        house.now_ms[0] += DAY_MS
        await house.reservations.check(ANN, "demo")


async def test_a_budget_is_closed_and_others_open_while_the_database_is_away(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "ann"\nuser = "ann"\ntokens_per_day = 1000\n'
    async with limits(database, tmp_path, text) as house:
        held, running = await house.reserve(10, 90)
        house.database.fails = True
        with pytest.raises(BudgetStoreUnavailable):
            await house.reserve(1, 1)
        ben = type(ANN)(key_id="key-b", name="b", tenant="tenant", owner="ben")
        await house.run(5, 5, principal=ben)
        running.timeline.usage = Usage(prompt_tokens=10, completion_tokens=30)
        await held.settle(running, has_run=True)
        assert house.spool.num_rows == 2
        house.database.fails = False
        with pytest.raises(BudgetStoreUnavailable):  # the account lacks what the spool has
            await house.reserve(1, 1)
        await house.reservations.settlements.retry()
        assert house.spool.is_empty
        assert list((await house.accounts()).values()) == [40]
        assert sum(row.prompt_tokens + row.completion_tokens for row in await house.rows()) == 50
        await house.reserve(1, 1)


async def test_an_answer_that_was_lost_charges_nobody_twice(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "all"\ntokens_per_day = 1000\n'
    async with limits(database, tmp_path, text) as house:
        held, record = await house.reserve(10, 90)
        record.timeline.usage = Usage(prompt_tokens=10, completion_tokens=5)
        house.database.fails_afterwards = True
        await held.settle(record, has_run=True)
        assert house.spool.num_rows == 1
        house.database.fails_afterwards = False
        await house.reservations.settlements.retry()
        assert list((await house.accounts()).values()) == [15]
        assert len(await house.rows()) == 1


async def test_a_reservation_whose_answer_was_lost_is_given_back(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "all"\ntokens_per_day = 1000\n'
    async with limits(database, tmp_path, text) as house:
        house.database.fails_afterwards = True
        with pytest.raises(BudgetStoreUnavailable):
            await house.reserve(10, 90)
        house.database.fails_afterwards = False
        await house.reservations.settled()
        await house.reservations.settlements.retry()
        assert await house.num_reserved() == 0


async def test_full_is_closed_for_everybody(database: Database, tmp_path: Path) -> None:
    async with limits(database, tmp_path, "", max_bytes=1) as house:
        house.database.fails = True
        await house.run()
        with pytest.raises(BudgetStoreUnavailable, match="no more usage"):
            await house.reservations.check(ANN, "demo")
        house.database.fails = False
        await house.reservations.settlements.retry()
        await house.run()
        assert len(await house.rows()) == 2


async def test_observed_limits_mark_and_refuse_nobody(database: Database, tmp_path: Path) -> None:
    text = """
[[limits]]
name = "trial"
tokens_per_day = 50
requests_per_minute = 1
mode = "observe"
"""
    async with limits(database, tmp_path, text) as house:
        await house.run()
        held, record = await house.reserve()
        assert held.headers == {"x-intramural-limits-observed": "trial"}
        assert house.told.observed[0] == ("trial", "requests_per_minute")
        house.database.fails = True
        await held.settle(record, has_run=True)
        await house.reserve()  # and an observed budget is no reason to be closed
        assert house.told.refused == []


async def test_limits_of_a_key_are_limits(database: Database, tmp_path: Path) -> None:
    stored = {"key-a": {"tokens_per_day": 100}, "key-b": {"requests_per_minute": 0}}
    async with limits(database, tmp_path, "", key_limits=stored) as house:
        await house.reserve(10, 90)
        with pytest.raises(InsufficientQuota, match="of this key"):
            await house.reserve(10, 90)
        with pytest.raises(RateLimited) as refused:
            await house.reserve(1, 1, principal=ANN_AGAIN)
        assert refused.value.is_final
        assert house.told.refused == [("key", "tokens_per_day"), ("key", "requests_per_minute")]


async def test_money_without_a_price_is_not_let_through(database: Database, tmp_path: Path) -> None:
    stored = {"key-a": {"money_per_day": "5.00"}}
    async with limits(database, tmp_path, "", key_limits=stored) as house:
        with pytest.raises(InsufficientQuota, match="no price"):
            await house.reserve()


async def test_an_alias_is_no_way_round(database: Database, tmp_path: Path) -> None:
    text = '[[limits]]\nname = "m"\nmodel = "alias"\ntokens_per_day = 150\n'
    async with limits(database, tmp_path, text) as house:
        await house.reserve(10, 90, model="demo")
        with pytest.raises(InsufficientQuota):
            await house.reserve(10, 90, model="alias")
        await house.reserve(10, 90, model="adapted")


async def test_a_cancelled_reservation_holds_nothing(database: Database, tmp_path: Path) -> None:
    text = '[[limits]]\nname = "all"\ntokens_per_day = 1000\nconcurrent_requests = 1\n'
    async with limits(database, tmp_path, text) as house:
        task = asyncio.create_task(house.reserve())
        await asyncio.sleep(0)  # it is in the database's hands
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await house.reservations.settled()
        assert await house.num_reserved() == 0
        assert house.reservations.leases.num_held == 0
        await house.reserve()


async def test_what_gives_back_while_the_store_is_away_is_tried_again(
    database: Database, tmp_path: Path
) -> None:
    text = '[[limits]]\nname = "all"\ntokens_per_day = 1000\n'
    async with limits(database, tmp_path, text) as house:
        held, record = await house.reserve()
        house.database.fails = True
        await held.settle(record, has_run=False)
        house.database.fails = False
        await house.reservations.settlements.retry()
        assert await house.num_reserved() == 0


async def test_a_changed_file_is_followed_and_a_broken_one_is_not(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with limits(database, tmp_path, "") as house:
        await house.reserve(1, 1)
        (tmp_path / "limits.toml").write_text(EACH_USER)
        house.reservations._in_force.follow()
        with pytest.raises(RequestError):
            await house.reserve(1, 1000)
        (tmp_path / "limits.toml").write_text('[[limits]]\nname = "x"\nmodel = "none"\n')
        house.reservations._in_force.follow()
        assert not house.reservations._in_force.is_in_force
        assert "the ones known stay in force" in caplog.text
        with pytest.raises(RequestError):
            await house.reserve(1, 1000)


class Broken:
    """Counters that are away."""

    async def reserve(self, *_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    async def settle(self, *_: object) -> None:
        raise StoreUnavailable("away")


async def test_rates_are_open_while_their_store_is_away(database: Database, tmp_path: Path) -> None:
    async with limits(database, tmp_path, EACH_USER) as house:
        house.reservations._rates = Broken()  # type: ignore[assignment]
        for _ in range(9):
            await house.run()
        assert len(await house.rows()) == 9


async def test_rates_and_budgets_may_be_in_one_database(database: Database, tmp_path: Path) -> None:
    text = '[[limits]]\nname = "all"\nconcurrent_requests = 1\ntokens_per_day = 100\n'
    async with limits(database, tmp_path, text, shares_database=True) as house:
        held, record = await house.reserve(10, 80)
        assert await house.num_reserved() == 91
        with pytest.raises(RateLimited, match="is 1 request at once, and 1 runs"):
            await house.reserve(1, 1)
        record.timeline.usage = Usage(prompt_tokens=10, completion_tokens=80)
        await held.settle(record, has_run=True)
        with pytest.raises(InsufficientQuota):
            await house.reserve(10, 80)
        await house.reservations.settled()
        assert await house.num_reserved() == house.reservations.leases.num_held == 0
        assert list((await house.accounts()).values())[-1] == 90


async def test_a_caller_that_is_cancelled_twice_is_settled_before_the_house_closes(
    database: Database, tmp_path: Path
) -> None:
    async with limits(database, tmp_path, EACH_USER) as house:
        held, record = await house.reserve(10, 90)
        record.timeline.usage = Usage(prompt_tokens=10, completion_tokens=30)
        leaving = asyncio.create_task(held.settle(record, has_run=True))
        await asyncio.sleep(0)
        for _ in range(2):
            leaving.cancel()
            await asyncio.sleep(0)
        assert leaving.done()
        await house.reservations.settled()
        assert [row.completion_tokens for row in await house.rows()] == [30]
        assert await house.num_reserved() == 0
