"""An engine that comes back: it wraps one that may die, and rebuilds it.

::

            ┌────────── check_health() raises ──────────┐
            ▼                                           │
        down: new requests refused, streams ended      up: all calls go to the engine
            └── close, wait, build (up to 5 times) ─────▶

Where the dead one leaves something in memory, such as its weights, the first attempt is to use it;
all others, and the first after two deaths in short order, begin with nothing. Whatever an attempt
raises, it is one attempt.

Knows nothing of any engine: it is tested with the fake one and a clock that is not one.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import NoReturn

from serve import timeline
from serve.engine.protocol import (
    Engine,
    EngineInfo,
    EngineLoad,
    EngineRequest,
    PrefixCacheLoad,
    TokenChunk,
)
from serve.errors import EngineDeadError, StartupError

log = logging.getLogger(__name__)

POLL_S = 0.25
"""Seconds between looks at the engine's health. Probes and streams see a death before that."""
BACK_OFF_S = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Seconds before each attempt. As many attempts are made, then it is given up."""
PAUSED_S = 5.0
"""A look that comes so late was paused itself, with the whole process: an engine may have a step
to show for it at the next look."""
STEADY_S = 60.0
"""An engine that died sooner than this after it came up is brought back more slowly each time."""


_NO_LOAD = EngineLoad(num_running=0, num_waiting=0, kv_cache_usage=0.0)


def _with_counts_of(before: EngineLoad, load: EngineLoad, *, num_deaths: int = 0) -> EngineLoad:
    """The load, with what was counted before added to what only ever grows."""
    return replace(
        load,
        num_steps=before.num_steps + load.num_steps,
        num_draft_tokens=before.num_draft_tokens + load.num_draft_tokens,
        num_accepted_tokens=before.num_accepted_tokens + load.num_accepted_tokens,
        num_deaths=num_deaths,
        prefix_cache=_counted_together(before.prefix_cache, load.prefix_cache),
    )


def _counted_together(
    before: PrefixCacheLoad | None, now: PrefixCacheLoad | None
) -> PrefixCacheLoad | None:
    """Figures of the present cache, with what those before it were asked for."""
    if before is None:
        return now
    if now is None:  # there is no engine at present, and so nothing is held
        return replace(before, num_blocks=None if before.num_blocks is None else 0)
    evictions = (before.num_evictions, now.num_evictions)
    return replace(
        now,
        num_queries=before.num_queries + now.num_queries,
        num_hits=before.num_hits + now.num_hits,
        num_evictions=None if None in evictions else sum(filter(None, evictions)),
    )


class Supervisor:
    """An ``Engine``: the present one, while there is one.

    Args:
        engine: the first one, which is up.
        rebuild: makes another one. Blocks; it is called in a thread. Raises StartupError.
        salvage: of a dead engine that is not closed yet, what makes another one of its parts
            (the same); None where it has none.
        clock: monotonic seconds.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        engine: Engine,
        rebuild: Callable[[], Engine],
        *,
        salvage: Callable[[Engine], Callable[[], Engine] | None] = lambda _: None,
        clock: Callable[[], float] = timeline.now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine: Engine | None = engine
        self._info = engine.info
        self._rebuild = rebuild
        self._salvage = salvage
        self._clock = clock
        self._sleep = sleep
        self._up_since = clock()
        self._num_early_deaths = 0
        self._num_deaths = 0
        self._of_the_dead = _NO_LOAD
        self._is_closed = False
        self._closing = threading.Lock()

    @property
    def info(self) -> EngineInfo:
        return self._info

    def load(self) -> EngineLoad:
        load = _NO_LOAD if self._engine is None else self._engine.load()
        return _with_counts_of(self._of_the_dead, load, num_deaths=self._num_deaths)

    def stream(self, request: EngineRequest) -> AsyncGenerator[TokenChunk, None]:
        """The engine's own stream: nothing of ours stands between it and its reader."""
        return self._up().stream(request)

    async def check_health(self) -> None:
        await self._up().check_health()

    async def close(self) -> None:
        with self._closing:
            self._is_closed = True
        if self._engine is not None:
            await self._engine.close()

    async def watch(self) -> NoReturn:
        """Bring the engine back whenever it dies. Runs until it is cancelled.

        Raises:
            StartupError: it did not come up, as often as ``BACK_OFF_S`` allows.
        """
        looked_at = self._clock()
        while True:
            await self._sleep(POLL_S)
            engine, was_paused = self._engine, self._clock() - looked_at > PAUSED_S
            looked_at = self._clock()
            if engine is None or self._is_closed or was_paused:
                continue
            try:
                await engine.check_health()
            except EngineDeadError as error:
                reason = error.message
            else:
                continue
            del engine  # two of them need not fit into memory
            await self._bring_back(reason)
            looked_at = self._clock()

    def _up(self) -> Engine:
        if self._engine is None:
            raise EngineDeadError(
                "The engine is down." if self._is_closed else "The engine is being restarted."
            )
        return self._engine

    async def _bring_back(self, reason: str) -> None:
        died_at = self._clock()
        was_steady = died_at - self._up_since >= STEADY_S
        self._num_early_deaths = 0 if was_steady else self._num_early_deaths + 1
        log.error("engine died", extra={"reason": reason})
        build = await self._taken_down()
        first = min(max(0, self._num_early_deaths - 1), len(BACK_OFF_S) - 1)
        await self._sleep(BACK_OFF_S[first])
        for attempt, back_off_s in enumerate(BACK_OFF_S, start=1):
            if attempt > 1:
                await self._sleep(back_off_s)
            try:
                self._engine = await asyncio.to_thread(self._build, build)
            except Exception as error:  # noqa: BLE001 - an attempt, whatever it was
                log.error(  # noqa: TRY400 - the message says it all; its cause is the engine's log
                    "engine did not come up", extra={"attempt": attempt, "reason": _reason(error)}
                )
                build = self._rebuild
                continue
            self._up_since = self._clock()
            down_s = round(self._up_since - died_at, 1)
            log.warning("engine is back", extra={"attempt": attempt, "down_s": down_s})
            return
        raise StartupError(
            f"The engine died ({reason}) and did not come up in {len(BACK_OFF_S)} attempts. "
            "The log says why."
        )

    async def _taken_down(self) -> Callable[[], Engine]:
        """Close the dead engine and let go of it. Returns what the first attempt is to be."""
        dead, self._engine = self._up(), None
        self._num_deaths += 1
        self._of_the_dead = _with_counts_of(self._of_the_dead, dead.load())
        salvaged = self._salvage(dead) if self._num_early_deaths < 2 else None
        await dead.close()
        return salvaged or self._rebuild

    def _build(self, build: Callable[[], Engine]) -> Engine:
        """A new engine. One that comes up after close() is closed at once, here in its thread."""
        # A dead engine is a large knot of objects that hold each other. Left to the collector's
        # own time a dozen of them would lie about; and there is no memory for two.
        gc.collect()
        engine = build()
        with self._closing:
            is_wanted = not self._is_closed
        if not is_wanted:
            asyncio.run(engine.close())
            raise StartupError("The server is shutting down.")
        return engine


def _reason(error: Exception) -> str:
    """The message of an error; where it is not ours, its type with it."""
    return str(error) if isinstance(error, StartupError) else f"{type(error).__name__}: {error}"
