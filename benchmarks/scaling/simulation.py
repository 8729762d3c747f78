"""A day, request by request, with replicas that an autoscaler adds and takes away.

Requests go to the ready replica that holds fewest. Every 15 s the autoscaler sees each ready
replica's signals (``SIGNALS``), averaged over the last minute's scrapes (as the Prometheus
adapter's rules have it), and decides. A replica that is to go takes nothing new and finishes what
it has. With no replica ready, requests are held at the front (KEDA's), which wakes one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.scaling.arrivals import DAY_S, Request
from benchmarks.scaling.hpa import SYNC_PERIOD_S, Scaler, State, desired_replicas
from benchmarks.scaling.replica import Costs, Replica

SCRAPES = 4
"""In a minute, one each 15 s."""
ADMITTED = "intramural_requests_admitted"
WAITING = "intramural_requests_waiting"
KV_USE = "intramural_kv_cache_usage_ratio"
SIGNALS = (ADMITTED, WAITING, KV_USE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A rule for the number of replicas.

    Attributes:
        scaler: None is a fixed number.
        fixed: that number; with a scaler, how many there are at midnight.
        idle_s: seconds without a request after which the last replica goes; None keeps it.
        warm: hours of the day from and to which one replica stays, with ``idle_s``.
    """

    name: str
    fixed: int
    scaler: Scaler | None = None
    idle_s: float | None = None
    warm: tuple[float, float] | None = None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The outcome of a day.

    Attributes:
        first_token_s: of every request that was answered.
        num_refused: no replica had room.
        replica_s: seconds of all replicas, from a pod's start to its end.
        num_starts: replicas that were started after midnight.
        counts: replicas at each sync, for the picture.
    """

    plan: Plan
    first_token_s: list[float] = field(default_factory=list)
    num_refused: int = 0
    replica_s: float = 0.0
    num_starts: int = 0
    counts: list[tuple[float, int]] = field(default_factory=list)

    def attainment(self, target_s: float) -> float:
        """Share of all requests whose first token came within the target."""
        total = len(self.first_token_s) + self.num_refused
        return sum(seconds <= target_s for seconds in self.first_token_s) / total if total else 1.0


class Day:
    """One plan and one day; ``run`` once."""

    def __init__(self, plan: Plan, costs: Costs) -> None:
        self._plan = plan
        self._costs = costs
        self._replicas = [
            Replica(costs=costs, born_at=0.0, ready_at=0.0) for _ in range(plan.fixed)
        ]
        self._leaving: list[Replica] = []
        self._held: deque[Request] = deque()
        self._scrapes: dict[int, deque[dict[str, float]]] = {}
        self._state = State()
        self._last_request_at = 0.0
        self.outcome = Outcome(plan=plan)

    def run(self, requests: Sequence[Request]) -> Outcome:
        """The day's end is midnight, and then whatever is still running."""
        sync_at = SYNC_PERIOD_S
        for request in requests:
            while sync_at <= request.at_s:
                self._sync(sync_at)
                sync_at += SYNC_PERIOD_S
            self._arrive(request)
        while sync_at <= max(DAY_S, requests[-1].at_s if requests else 0.0):
            self._sync(sync_at)
            sync_at += SYNC_PERIOD_S
        self._end(sync_at)
        return self.outcome

    def _arrive(self, request: Request) -> None:
        self._last_request_at = request.at_s
        if not self._replicas and self._plan.idle_s is not None:
            self._add(1, request.at_s)  # the front wakes one at once
        self._release(request.at_s)
        self._route(request, request.at_s)

    def _route(self, request: Request, now: float) -> None:
        ready = [replica for replica in self._replicas if replica.is_ready(now)]
        if not ready:
            self._held.append(request)
            return
        for replica in ready:
            replica.advance(now)
        chosen = min(ready, key=lambda replica: replica.load)
        if chosen.has_room:
            chosen.take(request)
        else:
            self.outcome.num_refused += 1

    def _release(self, now: float) -> None:
        """Give held requests to the first ready replica, from the moment when it was ready."""
        ready = [replica for replica in self._replicas if replica.is_ready(now)]
        while self._held and ready:
            if ready[0].has_room:
                ready[0].take(self._held.popleft())
            else:
                self._held.popleft()
                self.outcome.num_refused += 1

    def _sync(self, now: float) -> None:
        self._release(now)
        for replica in (*self._replicas, *self._leaving):
            replica.advance(now)
        self._retire(now)
        self.outcome.counts.append((now, len(self._replicas) + len(self._leaving)))
        self._scrape(now)
        if self._plan.scaler is not None:
            self._scale(self._plan.scaler, now)

    def _scrape(self, now: float) -> None:
        for replica in self._replicas:
            if replica.is_ready(now):
                seen = self._scrapes.setdefault(id(replica), deque(maxlen=SCRAPES))
                signals = (replica.load, len(replica.waiting), replica.kv_use())
                seen.append(dict(zip(SIGNALS, signals, strict=True)))

    def _scale(self, scaler: Scaler, now: float) -> None:
        current = len(self._replicas)
        if current == 0:
            if self._is_warm(now):
                self._add(1, now)
            return
        ready = [replica for replica in self._replicas if replica.is_ready(now)]
        means = [self._mean(replica) for replica in ready]
        wanted = max(
            desired_replicas(
                current,
                [mean[name] for mean in means],
                target,
                num_unready=current - len(ready),
            )
            for name, target in scaler.targets.items()
        )
        decided = self._state.decide(scaler, now, current, wanted)
        if decided <= 1 and self._is_idle(now):
            decided = 0
        if decided > current:
            self._add(decided - current, now)
        else:
            self._remove(current - decided)

    def _mean(self, replica: Replica) -> dict[str, float]:
        scrapes = self._scrapes[id(replica)]
        return {name: sum(scrape[name] for scrape in scrapes) / len(scrapes) for name in SIGNALS}

    def _is_warm(self, now: float) -> bool:
        first, last = self._plan.warm or (0.0, 0.0)
        return first <= now % DAY_S / 3600 < last

    def _is_idle(self, now: float) -> bool:
        patience = self._plan.idle_s
        return (
            patience is not None
            and not self._is_warm(now)
            and now - self._last_request_at >= patience
            and not any(replica.load for replica in self._replicas)
        )

    def _add(self, number: int, now: float) -> None:
        self.outcome.num_starts += number
        for _ in range(number):
            self._replicas.append(
                Replica(costs=self._costs, born_at=now, ready_at=now + self._costs.start_s)
            )

    def _remove(self, number: int) -> None:
        """Those that are not ready first, then the youngest: as a ReplicaSet chooses."""
        for _ in range(number):
            leaver = max(self._replicas, key=lambda replica: replica.ready_at)
            self._replicas.remove(leaver)
            self._scrapes.pop(id(leaver), None)
            leaver.is_leaving = True
            self._leaving.append(leaver)

    def _retire(self, now: float) -> None:
        for replica in [replica for replica in self._leaving if not replica.load]:
            self._leaving.remove(replica)
            self._close(replica, now)

    def _end(self, now: float) -> None:
        """All that was begun or held is brought to its end; replicas are paid until the day's."""
        for replica in self._replicas:
            while self._held and replica.has_room:
                replica.advance(max(now, replica.ready_at))
                replica.take(self._held.popleft())
        self.outcome.num_refused += len(self._held)
        for replica in (*self._replicas, *self._leaving):
            replica.ends_at()
            self._close(replica, now)

    def _close(self, replica: Replica, now: float) -> None:
        self.outcome.replica_s += now - replica.born_at
        self.outcome.first_token_s += [at - request.at_s for request, at in replica.first_tokens]
