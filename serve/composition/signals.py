"""Signals: an end in order by SIGTERM and SIGINT, a reload by SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable

log = logging.getLogger(__name__)


class Stop(asyncio.Event):
    """An event set by a signal, whose number it keeps."""

    number: signal.Signals | None = None

    def on_signal(self, number: signal.Signals) -> None:
        """End in order; at once where that has been asked for already."""
        if self.is_set():
            raise SystemExit(128 + number)
        log.info("draining", extra={"signal": number.name})
        self.number = number
        self.set()


def heed_signals(reload: Callable[[], None]) -> Stop:
    """A stop by SIGTERM and SIGINT; a second signal ends the process at once.

    Args:
        reload: called on SIGHUP, as services have it; a server on a terminal ends instead, for the
            terminal has hung up.
    """
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.on_signal, number)
    on_terminal = sys.stderr.isatty()  # asked now: a terminal that hung up says that it is none

    def on_hangup() -> None:
        if on_terminal:
            stop.on_signal(signal.SIGHUP)
        else:
            reload()

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    return stop
