"""Progress of long work: who does it counts, who shows it is called back.

    Meter              counts: a phase begins, so much more of it is done
    ProgressCallback   is called: so much of this phase is done, of so much in all

``Counter`` is a Meter that calls a callback, and may be used by several threads. ``Progress`` is
the Counter of a command: it calls a ``Display``, which works out rate and time left, decides when
there is something new to see, and hands a ``Snapshot`` to a view:

    a terminal      one live line (rich)
    a pipe, a log   a plain line when a phase begins and ends, and every few seconds between
    --json          one JSON object per line on stdout: progress, notice, done, error

Everything but JSON goes to stderr, so that stdout holds results only.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

WINDOW_S = 10.0
"""The rate is that of the last seconds, so that a link that stalled shows."""


class ProgressCallback(Protocol):
    """The one form in which progress is reported, by engines that load as by commands."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """``done`` of ``total`` units of ``phase``: bytes, unless the phase says otherwise.

        ``done`` is of the whole phase and falls where work is done again. ``total`` is 0 for a
        phase that counts nothing.
        """
        ...


class Meter(Protocol):
    """Counts what is done of one phase at a time."""

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Begin a phase."""
        ...

    def advance(self, num_bytes: int) -> None:
        """Count bytes that were done; fewer than 0 for those that must be done again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The progress of one phase.

    Attributes:
        phase: what is going on, in a word or two: ``fetch``.
        done_bytes: of this phase, with what an earlier run had already done.
        total_bytes: of this phase; 0 for a phase that counts nothing.
        rate_bytes_per_s: over the last seconds; 0 while nothing is known.
        eta_s: seconds left at that rate; None while nothing is known.
    """

    phase: str
    done_bytes: int
    total_bytes: int
    rate_bytes_per_s: float
    eta_s: float | None

    def __str__(self) -> str:
        if not self.total_bytes:
            return f"{self.phase} ..."
        share = self.done_bytes / self.total_bytes
        text = f"{self.phase} {share:4.0%}  {size(self.done_bytes)} of {size(self.total_bytes)}"
        if self.rate_bytes_per_s:
            text += f"  {size(self.rate_bytes_per_s)}/s"
        return text if self.eta_s is None else f"{text}  {duration(self.eta_s)} left"


class View(Protocol):
    """The place where progress is shown."""

    interval_s: float
    """The least time between two snapshots of one phase."""

    def show(self, snapshot: Snapshot) -> None: ...

    def notice(self, text: str) -> None: ...


class Counter:
    """Adds up what is done, and calls a callback. Every method may be called by any thread."""

    def __init__(self, callback: ProgressCallback) -> None:
        self._callback = callback
        self._lock = threading.Lock()
        self._phase, self._done, self._total = "", 0, 0

    def phase(self, name: str, total_bytes: int = 0, *, done_bytes: int = 0) -> None:
        """Begin a phase.

        Args:
            name: for people and for programs: one lower-case word.
            total_bytes: to do in all; 0 when the phase counts nothing.
            done_bytes: already there from an earlier run; no part of the rate.
        """
        with self._lock:
            self._phase, self._done, self._total = name, done_bytes, total_bytes
            self._callback(name, done_bytes, total_bytes)

    def advance(self, num_bytes: int) -> None:
        """Count bytes that were done; fewer than 0 for those that must be done again."""
        with self._lock:
            self._done += num_bytes
            self._callback(self._phase, self._done, self._total)


class Display:
    """A callback that hands a view snapshots with the rate, and leaves out those too close."""

    def __init__(self, view: View, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._clock = clock
        self._phase, self._done, self._total = "", 0, 0
        self._marks: deque[tuple[float, int]] = deque()
        self._shown_at = float("-inf")

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = self._clock()
        is_new = (phase, total) != (self._phase, self._total) or not done or not self._marks
        is_complete = done == total and done > self._done
        self._phase, self._done, self._total = phase, done, total
        if is_new:
            self._marks.clear()
        self._marks.append((now, done))
        # Two marks always stay: without them a stalled link would have no rate.
        while len(self._marks) > 2 and self._marks[0][0] < now - WINDOW_S:
            self._marks.popleft()
        if is_new or is_complete or now - self._shown_at >= self._view.interval_s:
            self._shown_at = now
            self._view.show(self._snapshot(now))

    def _snapshot(self, now: float) -> Snapshot:
        since, at = self._marks[0]
        rate = max(0.0, (self._done - at) / (now - since)) if now > since else 0.0
        left = self._total - self._done
        return Snapshot(
            phase=self._phase,
            done_bytes=self._done,
            total_bytes=self._total,
            rate_bytes_per_s=round(rate, 1),
            eta_s=round(left / rate, 1) if rate and left >= 0 else None,
        )


class Progress(Counter):
    """Counts and shows the progress of one command; every method may be called by any thread."""

    def __init__(self, view: View, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(Display(view, clock=clock))
        self._view = view

    def notice(self, text: str) -> None:
        """Tell the user something at once."""
        with self._lock:
            self._view.notice(text)


class Silent:
    """Shows nothing."""

    interval_s = float("inf")

    def show(self, snapshot: Snapshot) -> None: ...

    def notice(self, text: str) -> None: ...


class Lines:
    """Plain lines, few enough for a log."""

    interval_s = 5.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, snapshot: Snapshot) -> None:
        print(snapshot, file=self._stream, flush=True)

    def notice(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class JsonLines:
    """One JSON object per line; ``event`` says which kind."""

    interval_s = 0.5

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, snapshot: Snapshot) -> None:
        self.event("progress", **asdict(snapshot))

    def notice(self, text: str) -> None:
        self.event("notice", message=text)

    def event(self, name: str, /, **facts: Any) -> None:
        """Write one line at once. That the reader has left is no reason to stop working."""
        try:
            print(json.dumps({"event": name} | facts), file=self._stream, flush=True)
        except BrokenPipeError:
            # What is still in the stream's buffer must have somewhere to go at exit.
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


class Terminal:
    """One line that changes in place; notices go above it."""

    interval_s = 0.1

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, snapshot: Snapshot) -> None:
        line = Table.grid(padding=(0, 1))
        if snapshot.total_bytes:
            bar = ProgressBar(snapshot.total_bytes, snapshot.done_bytes, width=24)
            line.add_row(bar, Text(str(snapshot)))
        else:
            line.add_row(Text(str(snapshot)))
        self._live.update(line)

    def notice(self, text: str) -> None:
        self._live.console.print(Text(text))


@contextmanager
def shown(*, as_json: bool = False, stream: TextIO | None = None) -> Iterator[Progress]:
    """The progress of one command, as its place allows.

    Args:
        as_json: JSON lines on stdout instead of text.
        stream: instead of stderr.
    """
    out = stream or sys.stderr
    if as_json:
        yield Progress(JsonLines(stream or sys.stdout))
    elif out.isatty():
        with Live(console=Console(file=out), transient=True, refresh_per_second=10) as live:
            yield Progress(Terminal(live))
    else:
        yield Progress(Lines(out))


def size(num_bytes: float) -> str:
    """Bytes for people, in the powers of ten that disks and hubs are sold in."""
    value = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"


def duration(seconds: float) -> str:
    """Seconds for people: 45 s, 3 min 20 s, 2 h 05 min."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02} s"
    return f"{total // 3600} h {total % 3600 // 60:02} min"
