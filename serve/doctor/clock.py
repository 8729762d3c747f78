"""The clock: keys expire by it, and logs of several machines are put side by side by it.

Durations are not measured by it (serve/timeline.py), so a clock that jumps harms no figure.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime

from serve.doctor.finding import Finding, failure, ok, warning

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""This software is younger, so an earlier clock is wrong: its battery is empty, mostly."""
WATCH_S = 0.2
MAX_JUMP_S = 0.05
_STATUS_AT, _UNSYNCHRONISED = 40, 0x40  # struct timex of adjtimex(2) on 64 bits; STA_UNSYNC


def is_synchronised() -> bool | None:
    """Whether the kernel says that something keeps its clock right; None where it does not tell."""
    timex = ctypes.create_string_buffer(512)  # modes = 0: look, and change nothing
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
            return None
    except (OSError, AttributeError):
        return None
    status = int.from_bytes(timex.raw[_STATUS_AT : _STATUS_AT + 4], "little")
    return not status & _UNSYNCHRONISED


def clock(
    is_synchronised: Callable[[], bool | None] = is_synchronised,
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Finding:
    """Is the time plausible, kept right, and going evenly?"""
    now = datetime.fromtimestamp(wall(), UTC)
    time_text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    advice = "Run chrony or systemd-timesyncd, against a time server inside your walls."
    if now < EARLIEST:
        return failure(f"The clock says {time_text}, which cannot be.", advice)
    before = wall() - monotonic()
    sleep(WATCH_S)
    jump = wall() - monotonic() - before
    if abs(jump) > MAX_JUMP_S:
        return warning(
            f"The clock moved by {jump:+.3f} s within {WATCH_S} s: something sets it now.",
            "Look again in a minute. If it stays so, two programs may be setting it.",
        )
    synchronised = is_synchronised()
    if synchronised is False:
        return warning(f"{time_text}, and nothing keeps it right, says the kernel.", advice)
    source = "kept right" if synchronised else "by whom it is kept is not known"
    return ok(f"{time_text}, {source}.")
