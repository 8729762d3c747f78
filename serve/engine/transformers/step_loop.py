"""The step thread: takes sequences in, runs steps, hands tokens back to the event loops.

The thread alone touches scheduler and runner. Orders reach it through a queue and take effect
between steps; tokens leave it once per step. An exception in it is the engine's death: every open
stream ends with an error, and nothing is restarted here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Literal, Protocol

from serve import timeline
from serve.engine.delivery import AddressedToken, CrossThreadDelivery, Mailbox
from serve.engine.protocol import EngineLoad, TokenLogprob
from serve.engine.transformers.scheduler import Scheduler, Segment, SequenceState
from serve.errors import EngineDeadError

_log = logging.getLogger(__name__)

_CLOSED = "The engine is closed."
_DIED = "The engine stopped; the server has to be restarted."
_STALLED = "The engine has made no progress for {seconds:.0f} s."


class SampledToken(Protocol):
    """The part of a sampled token that the loop reads."""

    @property
    def token_id(self) -> int: ...
    @property
    def logprob(self) -> TokenLogprob | None: ...


Step = Callable[[Sequence[Segment]], Sequence[tuple[SequenceState, SampledToken]]]
_Order = tuple[Literal["submit", "cancel"], SequenceState] | None


def _ended(segments: Sequence[Segment]) -> Sequence[tuple[SequenceState, SampledToken]]:
    raise RuntimeError(f"a step of {len(segments)} segments after the end")


class StepLoop:
    """Owns the step thread. ``submit``, ``cancel``, ``load`` and ``check_health`` never block.

    Args:
        scheduler: the policy; the loop's from here on.
        step: computes segments and returns the sampled tokens.
        delivery: takes them to their streams.
        stall_after_s: without a finished step for so long, though there is work, it counts as dead.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        step: Step,
        delivery: CrossThreadDelivery,
        *,
        stall_after_s: float = 120.0,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._scheduler = scheduler
        self._step = step
        self._delivery = delivery
        self._stall_after_s = stall_after_s
        self._clock = clock
        self._orders: SimpleQueue[_Order] = SimpleQueue()
        self._mailboxes: dict[SequenceState, Mailbox] = {}
        self._lock = threading.Lock()  # of `_death` against `submit`: no stream slips in between
        self._death: str | None = None
        self._num_submitted = 0
        self._num_taken = 0
        self._num_steps = 0
        self._beat_at = clock()
        self._is_idle = True
        self._thread = threading.Thread(target=self._run, name="engine-steps", daemon=True)
        self._thread.start()

    def mailbox(self) -> Mailbox:
        """A mailbox for a new stream of the running event loop."""
        return self._delivery.mailbox()

    def submit(self, sequence: SequenceState, mailbox: Mailbox) -> None:
        """Queue a sequence.

        Raises:
            EngineDeadError: the engine died or is closed.
        """
        with self._lock:
            if self._death is not None:
                raise EngineDeadError(self._death)
            self._mailboxes[sequence] = mailbox
            self._num_submitted += 1
            self._orders.put(("submit", sequence))

    def cancel(self, sequence: SequenceState) -> None:
        """Forget a sequence; nothing if it is over."""
        self._orders.put(("cancel", sequence))

    def load(self) -> EngineLoad:
        scheduler = self._scheduler
        return EngineLoad(
            num_running=len(scheduler.running),
            num_waiting=len(scheduler.waiting) + max(0, self._num_submitted - self._num_taken),
            kv_cache_usage=1 - scheduler.num_free_blocks / scheduler.num_blocks,
            num_steps=self._num_steps,
        )

    def check_health(self) -> None:
        """Raises EngineDeadError when it is dead, closed, or has work and does not advance."""
        if self._death is not None:
            raise EngineDeadError(self._death)
        silent_s = self._clock() - self._beat_at
        if not self._is_idle and silent_s > self._stall_after_s:
            raise EngineDeadError(_STALLED.format(seconds=silent_s))

    def close(self) -> None:
        """Stop after the present step and wait for it. Idempotent; blocks."""
        self._orders.put(None)
        self._thread.join()
        self._step = _ended  # the model goes with the old one

    def _run(self) -> None:
        reason = _CLOSED
        try:
            while self._take_orders():
                self._one_step()
        except Exception:  # noqa: BLE001 - the thread's boundary: whatever it was, the engine is dead
            _log.exception("engine died")
            reason = _DIED
        self._die(reason)

    def _take_orders(self) -> bool:
        """Carry out what was ordered; sleep while there is nothing to run. False: stop."""
        while True:
            has_work = bool(self._scheduler.running or self._scheduler.waiting)
            self._is_idle = not has_work
            try:
                order = self._orders.get(block=not has_work)
            except Empty:
                return True
            if self._is_idle:
                self._beat_at = self._clock()
            if order is None:
                return False
            verb, sequence = order
            if verb == "submit":
                self._num_taken += 1
                self._scheduler.submit(sequence)
            elif self._mailboxes.pop(sequence, None) is not None:
                self._scheduler.remove(sequence)

    def _one_step(self) -> None:
        segments = self._scheduler.schedule()
        if not segments:
            raise RuntimeError("there is work and nothing of it can be scheduled")
        sampled = self._step(segments)
        self._scheduler.advance(segments)
        addressed = []
        for sequence, token in sampled:
            sequence.append(token.token_id)
            finish_reason = sequence.finish_reason
            mailbox = self._mailboxes[sequence]
            addressed.append(AddressedToken(mailbox, token.token_id, token.logprob, finish_reason))
            if finish_reason is not None:
                del self._mailboxes[sequence]
                self._scheduler.remove(sequence)
        self._num_steps += 1
        self._beat_at = self._clock()
        self._delivery.send(addressed, self._beat_at)

    def _die(self, reason: str) -> None:
        with self._lock:
            self._death = reason
            orphans = list(self._mailboxes.items())
            self._mailboxes.clear()
        for sequence, mailbox in orphans:
            self._scheduler.remove(sequence)
            self._delivery.fail(mailbox, EngineDeadError(reason))
        self._num_taken = self._num_submitted
        self._is_idle = True
