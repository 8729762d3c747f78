"""A state machine over reserve, settle, extend, leases that end, and clocks that are set.

Each store is held to a plain model (counting_model.py) after every step: 10,000 runs of each in
`make prove`, a few here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection, StaticPool, create_engine, delete

from serve.storage import schema
from serve.storage.counting import account_rows, sql_counters
from serve.storage.counting.account_rules import TOMBSTONE_MS
from serve.storage.counting.counters import Balance, Claim, Decision
from serve.storage.counting.memory_counters import MemoryCounters
from serve.storage.counting.valkey_counters import PREFIX
from tests.contracts.counters import HOUR_MS, MINUTE_MS
from tests.serve.storage.counting.test_valkey_counters import unhurried, with_test_time
from tests.serve.storage.counting_model import Model
from tests.servers.fixtures import needs_redis
from tests.servers.redis import RedisServer

NUM_RUNS = 10_000 if settings().max_examples >= 5_000 else 15
FEWER = 2_000 if settings().max_examples >= 5_000 else 5
DAY_MS = 24 * HOUR_MS
KEEP_MS = 400 * DAY_MS  # what may be forgotten, a store forgets when it likes
CLAIMS = [
    Claim(account="budget", amount=0, limit=0, keep_ms=KEEP_MS),
    Claim(account="rate", amount=0, limit=0, leak_ms=MINUTE_MS, keep_ms=KEEP_MS),
    Claim(account="odd", amount=0, limit=0, leak_ms=7_001, keep_ms=KEEP_MS),
    Claim(account="at once", amount=0, limit=0, keep_ms=KEEP_MS),
    Claim(account="day", amount=0, limit=0, leak_ms=DAY_MS, keep_ms=KEEP_MS, is_enforced=False),
]
limits = st.one_of(st.integers(0, 40), st.integers(0, 10**6), st.just(10**12))
shares = st.fractions(0, 2, max_denominator=6)
leases = st.integers(1, 2 * MINUTE_MS)
ids = st.integers(0, 11)


class MemoryStore:
    """Its clock is monotonic: it does not see that others are set."""

    def __init__(self) -> None:
        self.ms = 0
        self.counters = MemoryCounters(lambda: self.ms)

    def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        coroutine = getattr(self.counters, verb)(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration as stopped:
            return stopped.value
        raise AssertionError("counters in memory wait for nothing")

    def see(self, wall_ms: int, elapsed_ms: int) -> int:
        self.ms = elapsed_ms
        return elapsed_ms

    def close(self) -> None:
        pass


class SqliteStore:
    """The functions of SQL on a database in memory, whose clock is the wall's."""

    engine = create_engine("sqlite://", poolclass=StaticPool)

    def __init__(self) -> None:
        schema.metadata.create_all(self.engine)
        self.patch = mock.patch.object(account_rows, "now_ms", self.now_ms)
        self.patch.start()
        self.ms = 0

    def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        with self.engine.begin() as connection:
            return getattr(sql_counters, f"{verb}_in")(connection, *args, **kwargs)

    def now_ms(self, _connection: Connection) -> int:
        return self.ms

    def see(self, wall_ms: int, elapsed_ms: int) -> int:
        self.ms = wall_ms
        return wall_ms

    def close(self) -> None:
        self.patch.stop()
        with self.engine.begin() as connection:
            connection.execute(delete(schema.accounts))
            connection.execute(delete(schema.reservations))


class ValkeyStore:
    """The scripts on a real server, with the test's clock in the place of its own."""

    server: RedisServer
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self.counters = with_test_time(unhurried(self.server.url, max_connections=1))
        self.server.empty()

    def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        return self.loop.run_until_complete(getattr(self.counters, verb)(*args, **kwargs))

    def see(self, wall_ms: int, elapsed_ms: int) -> int:
        client = self.counters._server.client
        self.loop.run_until_complete(client.set(f"{PREFIX}:test-time", wall_ms))
        return wall_ms

    def close(self) -> None:
        self.loop.run_until_complete(self.counters.close())


class Machine(RuleBasedStateMachine):
    """One store beside the model. ``Store`` is set for each."""

    Store: Any = MemoryStore

    def __init__(self) -> None:
        super().__init__()
        self.store = self.Store()
        self.model = Model()
        self.wall_ms = self.elapsed_ms = 10**12
        self.claims = CLAIMS
        self.see()

    def teardown(self) -> None:
        self.store.close()

    def see(self) -> None:
        self.model.look_at(self.store.see(self.wall_ms, self.elapsed_ms))

    def asked(self, amounts: Sequence[Any]) -> list[Claim]:
        """Claims of some accounts; each amount is a part of its limit."""
        return [
            replace(claim, amount=min(10**12, int(claim.limit * amount)))
            for claim, amount in zip(self.claims, amounts, strict=True)
            if amount is not None
        ]

    def is_remembered(self, reservation_id: str) -> bool:
        """Whether it is certain that every store still knows that it was settled."""
        held = self.model.held.get(reservation_id)
        if held is None or held.settled_at is None:
            return True
        return self.model.now - held.settled_at < TOMBSTONE_MS

    @initialize(limits=st.tuples(limits, limits, limits, st.integers(0, 3), limits))
    def choose_limits(self, limits: Sequence[int]) -> None:
        self.claims = [
            replace(claim, limit=limit) for claim, limit in zip(CLAIMS, limits, strict=True)
        ]

    @rule(number=ids, amounts=st.tuples(*[st.none() | shares] * len(CLAIMS)), lease_ms=leases)
    def reserve(self, number: int, amounts: Sequence[Any], lease_ms: int) -> None:
        name = f"r{number}"
        if not self.is_remembered(name):
            return
        asked = self.asked(amounts)
        expected = self.model.reserve(name, asked, lease_ms)
        was: Decision = self.store.call("reserve", name, asked, lease_ms=lease_ms)
        assert was == expected

    @rule(number=ids, amounts=st.tuples(*[st.none() | shares] * len(CLAIMS)))
    def settle(self, number: int, amounts: Sequence[Any]) -> None:
        name = f"r{number}"
        if self.is_remembered(name):
            asked = self.asked(amounts)
            expected = self.model.settle(name, asked)
            assert self.store.call("settle", name, asked) == expected

    @rule(numbers=st.lists(ids, max_size=4), lease_ms=leases)
    def extend(self, numbers: Sequence[int], lease_ms: int) -> None:
        names = [f"r{number}" for number in numbers]
        self.model.extend(names, lease_ms)
        self.store.call("extend", names, lease_ms=lease_ms)

    @rule(ms=st.one_of(st.integers(0, 20), st.integers(0, 2 * MINUTE_MS)))
    def let_time_pass(self, ms: int) -> None:
        self.wall_ms += ms
        self.elapsed_ms += ms
        self.see()

    @rule(
        ms=st.one_of(
            st.sampled_from([HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS]), st.integers(-MINUTE_MS, 1000)
        )
    )
    def set_the_clock(self, ms: int) -> None:
        """By an hour as at the ends of summer time, by a day, and by what a time server may."""
        self.wall_ms += ms
        self.see()

    @rule(index=st.integers(0, len(CLAIMS) - 1), limit=limits)
    def change_a_limit(self, index: int, limit: int) -> None:
        claim = self.claims[index]
        # What leaked so far leaked by the limit that was: stores see it when the account changes.
        self.touch([claim])
        self.claims = [*self.claims]
        self.claims[index] = replace(claim, limit=limit)

    def touch(self, claims: Sequence[Claim]) -> None:
        name = f"touch{self.model.now}.{len(self.model.held)}"
        self.model.settle(name, claims)
        self.store.call("settle", name, claims)

    @invariant()
    def every_sum_is_the_model_s(self) -> None:
        self.store.call("extend", [], lease_ms=1)  # so that all have seen the clock
        was: tuple[Balance, ...] = self.store.call("balances", self.claims)
        assert was == self.model.balances(self.claims)


class EnforcedMachine(Machine):
    """The same where nobody uses more than was reserved, so that no limit is ever exceeded."""

    @rule(number=ids, amounts=st.tuples(*[st.none() | shares] * len(CLAIMS)))
    def settle(self, number: int, amounts: Sequence[Any]) -> None:
        name = f"r{number}"
        held = self.model.held.get(name)
        if held is None or not self.model.is_running(name):
            return
        asked = [
            replace(claim, amount=min(claim.amount, held.amounts.get(claim.account, 0)))
            for claim in self.asked(amounts)
        ]
        assert self.store.call("settle", name, asked) == self.model.settle(name, asked)

    @rule()
    def change_a_limit(self) -> None:
        """Never here."""

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        for balance, claim in zip(
            self.store.call("balances", self.claims), self.claims, strict=True
        ):
            assert not claim.is_enforced or balance.settled + balance.reserved <= claim.limit


def run(kind: type[Machine], store: Any, runs: int) -> None:
    case = type(f"{kind.__name__}{store.__name__}", (kind,), {"Store": store}).TestCase
    phases = [phase for phase in Phase if phase is not Phase.explain]
    if store is not MemoryStore:  # it would take minutes
        phases.remove(Phase.shrink)
    case.settings = settings(max_examples=runs, stateful_step_count=25, phases=phases)
    case("runTest").runTest()


@pytest.mark.parametrize("kind", [Machine, EnforcedMachine])
@pytest.mark.parametrize("store", [MemoryStore, SqliteStore])
def test_a_store_is_the_model(kind: type[Machine], store: Any) -> None:
    run(kind, store, NUM_RUNS if kind is Machine else FEWER)


@contextmanager
def using(server: RedisServer) -> Iterator[None]:
    ValkeyStore.server, ValkeyStore.loop = server, asyncio.new_event_loop()
    try:
        yield
    finally:
        ValkeyStore.loop.close()


@needs_redis
@pytest.mark.parametrize("kind", [Machine, EnforcedMachine])
def test_a_server_is_the_model(kind: type[Machine], redis_server: RedisServer) -> None:
    with using(redis_server):
        run(kind, ValkeyStore, NUM_RUNS if kind is Machine else FEWER)
