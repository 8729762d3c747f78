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


@dataclass(slots=True)
class Startup:
    """The phases so far, in order. Written by the loading thread, read by HTTP handlers.

    Calling it reports progress (it is a ``serve.engine.protocol.Progress``); naming a new phase
    ends the one before.
    """

    clock: Callable[[], float] = timeline.now
    phases: list[Phase] = field(default_factory=list)
    failure: str | None = None
    is_complete: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, phase: str, done: int, total: int) -> None:
        with self._lock:
            if not self.phases or self.phases[-1].name != phase:
                self._finish_last()
                self.phases.append(Phase(phase, started_at=self.clock()))
            self.phases[-1].done, self.phases[-1].total = done, total

    def complete(self) -> None:
        """The server is ready to answer."""
        with self._lock:
            self._finish_last()
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

    def _finish_last(self) -> None:
        if self.phases and not self.phases[-1].is_finished:
            last = self.phases[-1]
            last.finished_at = self.clock()
            last.done = last.total
