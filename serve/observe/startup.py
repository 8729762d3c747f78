"""Start-up phases with progress, for /startupz, the terminal and the log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from serve import timeline


@dataclass(slots=True)
class Phase:
    """One phase. ``done`` of ``total`` in the phase's own unit (bytes for ``load_weights``)."""

    name: str
    done: int = 0
    total: int = 0
    started_at: float = 0.0
    finished_at: float | None = None

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None

    def duration_s(self, now: float) -> float:
        return (self.finished_at if self.finished_at is not None else now) - self.started_at

    def eta_s(self, now: float) -> float | None:
        """Seconds left at the present rate; None before there is one."""
        if self.is_finished or self.done <= 0 or self.total <= 0:
            return None
        return self.duration_s(now) * (self.total - self.done) / self.done


BESIDE = frozenset({"verify"})
"""Phases that go on while others do; they end when all is done."""


@dataclass(slots=True)
class Startup:
    """The phases so far, in order. Written by the loading threads, read by HTTP handlers.

    Calling it reports progress (it is a ``serve.engine.protocol.Progress``); naming a new phase
    ends the one before, but for those in ``BESIDE``.
    """

    clock: Callable[[], float] = timeline.now
    phases: list[Phase] = field(default_factory=list)
    failure: str | None = None
    is_complete: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, phase: str, done: int, total: int) -> None:
        with self._lock:
            current = next((known for known in self.phases if known.name == phase), None)
            if current is None or (current.is_finished and phase not in BESIDE):
                if phase not in BESIDE:
                    self._finish(foreground_only=True)
                current = Phase(phase, started_at=self.clock())
                self.phases.append(current)
            current.done, current.total = done, total
            if phase in BESIDE and done >= total:
                current.finished_at = current.finished_at or self.clock()

    def complete(self) -> None:
        """The server is ready to answer."""
        with self._lock:
            self._finish()
            self.is_complete = True

    def fail(self, message: str) -> None:
        """Start-up ended without a server. ``message`` is for the operator."""
        with self._lock:
            self.failure = message

    def snapshot(self) -> dict[str, object]:
        """The JSON of /startupz."""
        with self._lock:
            now = self.clock()
            status = "failed" if self.failure else "started" if self.is_complete else "starting"
            return {
                "status": status,
                "phases": [
                    {
                        "name": phase.name,
                        "done": phase.done,
                        "total": phase.total,
                        "duration_s": round(phase.duration_s(now), 3),
                        "eta_s": None if (eta := phase.eta_s(now)) is None else round(eta, 1),
                        "is_finished": phase.is_finished,
                    }
                    for phase in self.phases
                ],
            }

    def _finish(self, *, foreground_only: bool = False) -> None:
        for phase in self.phases:
            if not (phase.is_finished or (foreground_only and phase.name in BESIDE)):
                phase.finished_at = self.clock()
                phase.done = phase.total
