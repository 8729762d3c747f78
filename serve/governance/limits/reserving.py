"""Reservations over counters: room in every limit before a request runs, its usage after.

::

    reserve   rates (memory, Valkey or the database) ── refused: 429 with the time to refill
              budgets (the database) ── refused: rates are given back, 429 insufficient_quota
    settle    rates with what was used ── budgets and the ledger's row, in one transaction

Both stores hold a request, or neither does. Whatever its end, cancellation between the two
included, what is held is settled or given back; what cannot be told to a store ends with its lease.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve.errors import InternalError, StartupError
from serve.governance.limits import refusals
from serve.governance.limits.accounts import (
    Charge,
    Plan,
    Spent,
    demanded,
    least,
    settled,
)
from serve.governance.limits.known_balances import KnownBalances
from serve.governance.limits.leases import LEASE_MS, Leases
from serve.governance.limits.ledger_rows import row_of
from serve.governance.limits.outlines import Outlines
from serve.governance.limits.rate_headers import Told, headers_of, without
from serve.governance.limits.rules import Measure, Rules
from serve.governance.limits.rules_in_force import RulesInForce
from serve.governance.limits.settling import Settlements
from serve.governance.limits.store_clock import StoreClock
from serve.governance.principal import Principal
from serve.governance.reservations import Demand
from serve.observe.record import RequestRecord
from serve.storage.counting.counters import Counters, Decision, StoreUnavailable
from serve.storage.ledger import Settlement

log = logging.getLogger(__name__)

RATES, BUDGETS = "rates", "budgets"
NOTHING = Spent(requests=0, tokens=0, micros=0)


class LimitListener(Protocol):
    """A listener that is told of each limit that refuses, or would (serve.observe.metrics)."""

    def limit_refused(self, limit: str, measure: Measure) -> None: ...
    def limit_observed(self, limit: str, measure: Measure) -> None: ...


class LimitedReservations:
    """The limits of all tenants (a Reservations).

    Args:
        rules: in force.
        rates: keeps requests and tokens a minute, and concurrency.
        budgets: keeps days and months; in the database of the ledger.
        settlements: enter budgets and rows.
        clock: the store's time.
        listener: told of refusals.
        arm: of the experiment that this server is, for the ledger; empty where it is none.
    """

    def __init__(
        self,
        rules: RulesInForce,
        *,
        rates: Counters,
        budgets: Counters,
        settlements: Settlements,
        clock: StoreClock,
        listener: LimitListener | None = None,
        arm: str = "",
    ) -> None:
        self._in_force = rules
        self._rates = rates
        self._budgets = budgets
        self.settlements = settlements
        self.clock = clock
        self._listener = listener
        self._arm = arm
        self.leases = Leases({RATES: rates, BUDGETS: budgets})
        self._known = KnownBalances()
        self._outlines = Outlines()
        self._ends: set[asyncio.Task[None]] = set()

    async def check(self, principal: Principal, model: str) -> None:
        """Refuse what a budget that is known to be used up would refuse. Asks no store.

        Raises:
            InsufficientQuota, BudgetStoreUnavailable: nothing can be reserved.
        """
        rules = self._in_force.rules
        plan = self._plan(rules, principal, model, least(rules, model))
        self._check_stores(plan)
        found = self._known.used_up(plan.budgets)
        if found is not None:
            charge, balance = found
            self._count_refusal(charge)
            raise refusals.budget_gone(rules, charge, balance)

    async def reserve(
        self, principal: Principal, record: RequestRecord, demand: Demand
    ) -> LimitedReservation:
        """Hold room for a request in all limits that are for it.

        Raises:
            RateLimited, InsufficientQuota, BudgetStoreUnavailable: there is none.
        """
        rules = self._in_force.rules
        plan = self._plan(rules, principal, demand.model, demanded(rules, demand))
        self._check_stores(plan)
        held = LimitedReservation(self, rules, principal, plan, record.request_id)
        try:
            await self._hold_rates(held)
            await self._hold_budgets(held)
        except BaseException:
            # Whoever waits may be cancelled here, at any await: what is held may not stay.
            self._later(held)
            raise
        return held

    async def settled(self) -> None:
        """Wait for all ends that are under way."""
        while self._ends:
            await asyncio.wait(self._ends)

    def _plan(self, rules: Rules, principal: Principal, model: str, asked: Spent) -> Plan:
        """The claims of a request. Raises what refuses it whatever the stores say."""
        try:
            limits = self._in_force.limits_for(rules, principal)
        except StartupError as error:
            log.error("limits of key %s: %s", principal.key_id, error)  # noqa: TRY400
            raise InternalError("The key's limits cannot be read. Tell the operator.") from None
        now_ms = self.clock.now_ms()
        plan = self._outlines.outline(rules, limits, principal, model, now_ms=now_ms).filled(asked)
        if plan.unpriced is not None:
            raise refusals.unpriced(plan.unpriced, model)
        if (closed := plan.closed) is not None:
            self._count_refusal(closed)
            raise refusals.closed(rules, closed)
        return plan

    def _check_stores(self, plan: Plan) -> None:
        if self.settlements.is_full:
            raise refusals.spool_full()
        if plan.is_budgeted and self.settlements.owes_budgets:
            raise refusals.store_away()

    async def _hold_rates(self, held: LimitedReservation) -> None:
        """Reserve rates. Their store away is no reason to refuse: it has a stand-in of its own."""
        charges = held.plan.rates
        if not charges:
            return
        held.stores.add(RATES)
        try:
            decision = await self._decide(self._rates, held, charges)
        except StoreUnavailable as error:
            log.debug("rates were not counted", extra={"reason": str(error)})
            return
        self._note(held, charges, decision)

    async def _hold_budgets(self, held: LimitedReservation) -> None:
        """Reserve budgets. Their store away refuses, where one of them could refuse."""
        charges = held.plan.budgets
        if not charges:
            return
        held.stores.add(BUDGETS)
        try:
            decision = await self._decide(self._budgets, held, charges)
        except StoreUnavailable as error:
            if held.plan.is_budgeted:
                log.debug("a budget was not reserved", extra={"reason": str(error)})
                raise refusals.store_away() from None
            return
        self._known.note(charges, decision.balances)
        self._note(held, charges, decision)

    async def _decide(
        self, counters: Counters, held: LimitedReservation, charges: tuple[Charge, ...]
    ) -> Decision:
        claims = [charge.claim for charge in charges]
        name = held.name_in(RATES if charges is held.plan.rates else BUDGETS)
        return await counters.reserve(name, claims, lease_ms=LEASE_MS)

    def _note(
        self, held: LimitedReservation, charges: tuple[Charge, ...], decision: Decision
    ) -> None:
        """Keep what a store decided. Raises its refusal."""
        store = RATES if charges is held.plan.rates else BUDGETS
        told = list(zip(charges, decision.balances, strict=True))
        if decision.refused is not None:
            held.stores.discard(store)
            error = refusals.refusal(held.rules, charges, decision)
            told += without(held.told)
            error.headers.update(headers_of(told, held.observed, self.clock.now_ms()))
            self._count_refusal(charges[decision.refused])
            raise error
        self.leases.hold(store, held.name_in(store))
        held.told += told
        for index in decision.over:
            held.observed.append(charges[index].limit.name)
            if self._listener is not None:
                self._listener.limit_observed(charges[index].limit.name, charges[index].measure)

    def _count_refusal(self, charge: Charge) -> None:
        if self._listener is not None:
            self._listener.limit_refused(charge.limit.name, charge.measure)

    def _later(self, held: LimitedReservation) -> None:
        """Give back what is held, in a task of its own."""
        if not held.stores:
            return
        self.ending(self.give_back(held))

    def ending(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin an end that nobody has to wait for; ``settled`` does."""
        task = asyncio.create_task(work)
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task

    def _let_go(self, held: LimitedReservation) -> None:
        for store in (RATES, BUDGETS):
            self.leases.let_go(held.name_in(store))

    async def give_back(self, held: LimitedReservation) -> None:
        """Settle a reservation with nothing: nothing ran, so there is no row."""
        self._let_go(held)
        for store, counters, charges in (
            (RATES, self._rates, held.plan.rates),
            (BUDGETS, self._budgets, held.plan.budgets),
        ):
            if store in held.stores:
                name = held.name_in(store)
                await self.settlements.release(counters, name, settled(charges, NOTHING))

    async def finish(self, held: LimitedReservation, record: RequestRecord) -> None:
        """Settle a reservation with what was used."""
        self._let_go(held)
        now_ms = self.clock.now_ms()
        spent, row = row_of(held.rules, held.principal, held.plan, record, now_ms, arm=self._arm)
        if held.plan.rates:
            await self.settlements.release(
                self._rates, held.name_in(RATES), settled(held.plan.rates, spent)
            )
        await self.settlements.settle(Settlement(claims=settled(held.plan.budgets, spent), row=row))


@dataclass(slots=True, eq=False)
class LimitedReservation:
    """Room that one request holds (a Reservation).

    Attributes:
        rules: those that it was reserved by, and is settled by.
        stores: names of those that hold it, or may.
        told: its charges, and their balances with it.
        observed: names of limits that are only observed and have no room for it.
    """

    reservations: LimitedReservations
    rules: Rules
    principal: Principal
    plan: Plan
    request_id: str
    stores: set[str] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)

    def name_in(self, store: str) -> str:
        """The reservation's id in a store. Both may be in one database, where ids are unique.

        In the budgets' it is the request's, which the ledger's row settles.
        """
        return self.request_id if store == BUDGETS else f"{self.request_id}.rates"

    @property
    def headers(self) -> Mapping[str, str]:
        return headers_of(self.told, self.observed, self.reservations.clock.now_ms())

    async def settle(self, record: RequestRecord, *, has_run: bool) -> None:
        """Charge what was used, and give the rest back. A caller that leaves does not end that."""
        house = self.reservations
        work = house.finish(self, record) if has_run else house.give_back(self)
        await asyncio.shield(house.ending(work))
