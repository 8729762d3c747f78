"""The step thread: takes sequences in, runs steps, hands tokens back to the event loops.

The thread alone touches scheduler and runner. Orders reach it through a queue and take effect
between steps; tokens leave it once per step. What fails costs as little as it can (ADR 0028)::

    choosing one row's token, its mask, its mailbox     that stream ends with an error
    scheduling, planning, the forward                   the streams of that step do; blocks are
                                                        counted anew, what waits is kept
    MOST_FAILED_STEPS such steps in a row, or worse     the engine's death: every stream does
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from queue import Empty, SimpleQueue
from typing import Literal, Protocol

from serve import timeline
from serve.engine.delivery import AddressedToken, CrossThreadDelivery, Mailbox
from serve.engine.protocol import EngineLoad, TokenLogprob
from serve.engine.transformers.guess_count import GuessCount
from serve.engine.transformers.scheduler import Scheduler
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.errors import EngineDeadError, InternalError, RequestError, StepFailed
from serve.timeline import FinishReason

_log = logging.getLogger(__name__)

MOST_FAILED_STEPS = 3
"""As many failed steps in a row, with no good one between, are the engine's death."""
CLOSE_S = 5.0
"""Seconds that a close waits for a step which counts as hung already."""

_CLOSED = "The engine is closed."
_DIED = "The engine stopped."
_STALLED = "The engine has made no progress for {seconds:.0f} s."
_STEP_FAILED = "The engine failed at a step that this request was part of. Send it again."
_TOKEN_FAILED = "The engine failed at this request's next token."  # noqa: S105 - of a text


class SampledToken(Protocol):
    """The part of a sampled token that the loop reads. With an ``error`` there is no token."""

    @property
    def token_id(self) -> int: ...
    @property
    def logprob(self) -> TokenLogprob | None: ...
    @property
    def error(self) -> RequestError | None: ...


# Several tokens of one sequence, if its guesses were right, come one after the other.
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
        forces_tokens: append tokens that a mask leaves no choice of without sampling them. An
            attribute, which measurements change while no stream is open.
        stall_after_s: without a finished step for so long, though there is work, it counts as dead.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        step: Step,
        delivery: CrossThreadDelivery,
        *,
        stall_after_s: float = 120.0,
        forces_tokens: bool = True,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._scheduler = scheduler
        self._step = step
        self._delivery = delivery
        self._stall_after_s = stall_after_s
        self.forces_tokens = forces_tokens
        self._clock = clock
        self._orders: SimpleQueue[_Order] = SimpleQueue()
        self._mailboxes: dict[SequenceState, Mailbox] = {}
        self._taken: set[SequenceState] = set()  # of these, those that the scheduler has
        self._lock = threading.Lock()  # of `_death` against `submit`: no stream slips in between
        self._death: str | None = None
        self._num_submitted = 0
        self._num_taken = 0
        self._num_steps = 0
        self._guesses = GuessCount()
        self._num_failed_in_a_row = 0
        self._has_stalled = False
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
        scheduler, is_dead = self._scheduler, self._death is not None
        num_untaken = max(0, self._num_submitted - self._num_taken)
        blocks = scheduler.blocks
        usage = 1 - blocks.num_available / blocks.num_blocks
        return EngineLoad(
            num_running=0 if is_dead else len(scheduler.running),
            num_waiting=0 if is_dead else len(scheduler.waiting) + num_untaken,
            kv_cache_usage=0.0 if is_dead else usage,
            num_steps=self._num_steps,
            num_draft_tokens=self._guesses.num_guessed,
            num_accepted_tokens=self._guesses.num_right,
            prefix_cache=scheduler.prefixes.load(),
        )

    def check_health(self) -> None:
        """Raises EngineDeadError when it is dead, closed, or has work and does not advance."""
        if self._death is not None:
            raise EngineDeadError(self._death)
        silent_s = self._clock() - self._beat_at
        if not self._is_idle and silent_s > self._stall_after_s:
            self._has_stalled = True
            raise EngineDeadError(_STALLED.format(seconds=silent_s))

    @property
    def has_computed(self) -> bool:
        """Whether it has ended in order, and what it computed is to be trusted.

        It has not where no step was made, the last ones failed, or one counted as hung.
        """
        is_well = self._death == _CLOSED and not self._num_failed_in_a_row
        return is_well and not self._has_stalled and self._num_steps > 0

    def close(self) -> bool:
        """Stop after the present step and wait for it. Idempotent; blocks.

        Returns:
            Whether the thread has ended. One whose step does not return is waited for no longer
            than it takes to count as hung; its streams end all the same, its memory stays taken.
        """
        self._orders.put(None)
        silent_s = self._clock() - self._beat_at
        self._thread.join(max(CLOSE_S, self._stall_after_s - silent_s))
        if self._thread.is_alive():
            self._die(_DIED)
            return False
        self._step = _ended  # the model goes with the old one
        return True

    def _run(self) -> None:
        reason = _CLOSED
        try:
            while self._take_orders():
                try:
                    self._one_step()
                except BaseException as error:  # noqa: BLE001 - in a thread an exit is a defect too
                    self._step_failed(error)
        except BaseException:  # noqa: BLE001 - the thread's boundary: whatever it was, the engine is dead
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
            try:
                self._carry_out(*order)
            except BaseException as error:  # noqa: BLE001 - as in `_run`
                self._step_failed(error)

    def _carry_out(self, verb: Literal["submit", "cancel"], sequence: SequenceState) -> None:
        if verb == "submit":
            self._num_taken += 1
            self._taken.add(sequence)
            self._scheduler.submit(sequence)
        elif self._mailboxes.pop(sequence, None) is not None:
            self._taken.discard(sequence)
            self._scheduler.remove(sequence)
            if sequence.mask is not None:
                sequence.mask.close()

    def _one_step(self) -> None:
        segments = self._scheduler.schedule()
        if not segments:
            raise RuntimeError("there is work and nothing of it can be scheduled")
        sampled = self._step(segments)
        self._scheduler.advance(segments)
        self._guesses.add(segments, sampled)
        addressed: list[AddressedToken] = []
        try:
            for sequence, pairs in groupby(sampled, key=itemgetter(0)):
                try:
                    self._accept(sequence, [token for _, token in pairs], addressed)
                except RequestError as error:
                    self._end(sequence, error)
                except Exception:  # noqa: BLE001 - one stream's, such as its mask's
                    _log.exception("a token was not accepted")
                    self._end(sequence, InternalError(_TOKEN_FAILED))
        finally:
            self._beat_at = self._clock()
            self._send(addressed)
        self._num_steps += 1
        self._num_failed_in_a_row = 0

    def _accept(
        self,
        sequence: SequenceState,
        tokens: Sequence[SampledToken],
        addressed: list[AddressedToken],
    ) -> None:
        """Add tokens to their sequence and to what is sent; an error ends the stream.

        Args:
            tokens: all but the last were guessed, and are computed.
        """
        mailbox = self._mailboxes[sequence]
        finish_reason = None
        for index, token in enumerate(tokens):
            if token.error is not None:
                self._end(sequence, token.error)
                return
            sequence.append(token.token_id, is_computed=index < len(tokens) - 1)
            finish_reason = sequence.finish_reason
            addressed.append(AddressedToken(mailbox, token.token_id, token.logprob, finish_reason))
            if finish_reason is not None:
                break
        if finish_reason is None and self.forces_tokens:
            finish_reason = self._append_forced(sequence, mailbox, addressed)
        if finish_reason is not None:
            self._forget(sequence)

    @staticmethod
    def _append_forced(
        sequence: SequenceState, mailbox: Mailbox, addressed: list[AddressedToken]
    ) -> FinishReason | None:
        """Add the tokens that only can follow; their keys and values are the next step's."""
        for token_id in sequence.forced():
            sequence.append(token_id, is_forced=True)
            finish_reason = sequence.finish_reason
            addressed.append(AddressedToken(mailbox, token_id, None, finish_reason))
            if finish_reason is not None:
                return finish_reason
        return None

    def _send(self, addressed: Sequence[AddressedToken]) -> None:
        try:
            self._delivery.send(addressed, self._beat_at)
        except Exception:  # noqa: BLE001 - these streams have lost a token; others have not
            _log.exception("tokens were not delivered")
            for token in addressed:
                self._delivery.fail(token.mailbox, InternalError(_TOKEN_FAILED))

    def _end(self, sequence: SequenceState, error: RequestError) -> None:
        """End one stream with an error."""
        mailbox = self._mailboxes.get(sequence)
        if mailbox is not None:
            self._delivery.fail(mailbox, error)
        self._forget(sequence)

    def _forget(self, sequence: SequenceState) -> None:
        with self._lock:
            self._mailboxes.pop(sequence, None)
        self._taken.discard(sequence)
        self._scheduler.remove(sequence)
        if sequence.mask is not None:
            sequence.mask.close()

    def _step_failed(self, error: BaseException) -> None:
        """End the streams that ran, or that the scheduler lost, and go on with those that wait.

        Raises:
            BaseException: ``error``, when it was one too many in a row.
        """
        _log.error("step failed", exc_info=error)
        self._num_failed_in_a_row += 1
        if self._num_failed_in_a_row >= MOST_FAILED_STEPS:
            raise error
        self._scheduler.reset()
        self._beat_at = self._clock()
        for sequence in self._taken.difference(self._scheduler.waiting):
            self._taken.discard(sequence)
            mailbox = self._mailboxes.pop(sequence, None)
            if mailbox is not None:
                self._delivery.fail(mailbox, StepFailed(_STEP_FAILED))

    def _die(self, reason: str) -> None:
        """End every stream, from whatever state. Idempotent."""
        with self._lock:
            if self._death is not None:
                return
            self._death = reason
            mailboxes = list(self._mailboxes.values())
            self._mailboxes.clear()
        for mailbox in mailboxes:
            try:
                self._delivery.fail(mailbox, EngineDeadError(reason))
            except Exception:  # noqa: BLE001 - the others are to be told all the same
                _log.exception("a stream was not told of the engine's end")
        self._taken.clear()
        self._is_idle = True
