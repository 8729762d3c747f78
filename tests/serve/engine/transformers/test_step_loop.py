"""The thread: merging for slow consumers, stalls, loops that go away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from serve.engine.delivery import CrossThreadDelivery, Mailbox
from serve.engine.protocol import EngineRequest, SamplingParams, TokenLogprob
from serve.engine.transformers.scheduler import Scheduler
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.engine.transformers.step_loop import MOST_FAILED_STEPS, StepLoop
from serve.errors import EngineDeadError, RequestError, StepFailed, Unavailable


class Token:
    token_id = 7
    logprob: TokenLogprob | None = None
    error: RequestError | None = None


def step(segments: Sequence[Segment]) -> list[tuple[SequenceState, Token]]:
    return [(segment.sequence, Token()) for segment in segments if segment.samples]


def sequence(max_tokens: int) -> SequenceState:
    return SequenceState(
        request=EngineRequest(
            request_id="r", prompt_token_ids=[1, 2], sampling=SamplingParams(max_tokens=max_tokens)
        ),
        stop_token_ids=frozenset(),
    )


MakeLoop = Callable[..., StepLoop]


@pytest.fixture
def make_loop() -> Iterator[MakeLoop]:
    loops: list[StepLoop] = []

    def make(**options: object) -> StepLoop:
        scheduler = Scheduler(num_blocks=64, block_size=4, max_num_seqs=4, max_num_batched_tokens=8)
        parts = {"step": step, "delivery": CrossThreadDelivery(0.01)} | options
        loops.append(StepLoop(scheduler, **parts))  # type: ignore[arg-type]
        return loops[-1]

    yield make
    for loop in loops:
        loop.close()


async def settle(loop: StepLoop) -> None:
    async with asyncio.timeout(10):
        while loop.load().num_running or loop.load().num_waiting:
            await asyncio.sleep(0.001)


async def test_a_lagging_consumer_gets_one_chunk(make_loop: MakeLoop) -> None:
    loop = make_loop()
    mailbox = loop.mailbox()
    loop.submit(sequence(50), mailbox)
    await settle(loop)
    chunk = await mailbox.take()
    assert len(chunk.token_ids) == 50
    assert chunk.finish_reason == "length"


async def test_what_was_made_before_the_death_is_still_delivered(make_loop: MakeLoop) -> None:
    steps_left = [3]

    def dying(segments: Sequence[Segment]) -> list[tuple[SequenceState, Token]]:
        steps_left[0] -= 1
        if steps_left[0] < 0:
            raise MemoryError
        return step(segments)

    loop = make_loop(step=dying)
    mailbox = loop.mailbox()
    loop.submit(sequence(50), mailbox)
    await settle(loop)
    await asyncio.sleep(0)
    assert [len((await mailbox.take()).token_ids) for _ in range(2)] == [2, 1]
    with pytest.raises(StepFailed):
        await mailbox.take()
    for _ in range(MOST_FAILED_STEPS - 1):
        loop.check_health()
        mailbox = loop.mailbox()
        loop.submit(sequence(1), mailbox)
        with pytest.raises(Unavailable):
            await mailbox.take()
    await settle(loop)
    with pytest.raises(EngineDeadError):
        loop.check_health()
    with pytest.raises(EngineDeadError):
        loop.submit(sequence(1), mailbox)
    assert loop.load().num_steps == 3


async def test_a_hung_step_is_noticed(make_loop: MakeLoop) -> None:
    now, hang, entered = [0.0], threading.Event(), threading.Event()

    def hanging(segments: Sequence[Segment]) -> list[tuple[SequenceState, Token]]:
        entered.set()
        hang.wait()
        return step(segments)

    loop = make_loop(step=hanging, clock=lambda: now[0], stall_after_s=10.0)
    now[0] = 100.0
    loop.check_health()  # idle, however long
    loop.submit(sequence(1), loop.mailbox())
    await asyncio.to_thread(entered.wait)
    now[0] = 105.0
    loop.check_health()
    now[0] = 111.0
    with pytest.raises(EngineDeadError, match="no progress for 11 s"):
        loop.check_health()
    hang.set()
    await settle(loop)
    loop.check_health()


async def test_an_event_loop_that_went_away_harms_nobody(make_loop: MakeLoop) -> None:
    loop = make_loop()

    async def on_a_loop_that_ends() -> None:
        loop.submit(sequence(20), loop.mailbox())

    await asyncio.to_thread(asyncio.run, on_a_loop_that_ends())
    mailbox = loop.mailbox()
    loop.submit(sequence(15), mailbox)
    await settle(loop)
    assert len((await mailbox.take()).token_ids) == 15
    loop.check_health()


async def test_cancelling_what_is_over_or_unknown(make_loop: MakeLoop) -> None:
    loop = make_loop()
    done = sequence(1)
    loop.submit(done, loop.mailbox())
    await settle(loop)
    loop.cancel(done)
    loop.cancel(sequence(1))
    await settle(loop)
    loop.check_health()


class Sevens:
    """Guesses three sevens, which is what the model always says."""

    def __init__(self) -> None:
        self.learnt: list[tuple[int, int]] = []

    def guesses(self, token_ids: Sequence[int], most: int, num_running: int) -> list[int]:
        del token_ids, num_running
        return [7] * min(3, most)

    def learn(self, num_guesses: int, num_right: int) -> None:
        self.learnt.append((num_guesses, num_right))


def checked(segments: Sequence[Segment]) -> list[tuple[SequenceState, Token]]:
    return [
        (segment.sequence, Token())
        for segment in segments
        if segment.samples
        for _ in range(1 + len(segment.draft))
    ]


async def whole(mailbox: Mailbox) -> tuple[list[int], str]:
    token_ids: list[int] = []
    while True:
        chunk = await mailbox.take()
        token_ids += chunk.token_ids
        if chunk.finish_reason is not None:
            return token_ids, chunk.finish_reason


async def test_right_guesses_are_sent_and_counted(make_loop: MakeLoop) -> None:
    loop = make_loop(step=checked)
    one, mailbox, lookup = sequence(10), loop.mailbox(), Sevens()
    one.lookup = lookup  # type: ignore[assignment]
    loop.submit(one, mailbox)
    assert await whole(mailbox) == ([7] * 10, "length")
    # A prompt, then 1 + 3, 1 + 3 and the last, after which nothing is guessed.
    assert lookup.learnt == [(3, 3), (3, 3)]
    load = loop.load()
    assert (load.num_draft_tokens, load.num_accepted_tokens) == (6, 6)


async def test_what_follows_an_end_in_the_midst_of_guesses_is_dropped(make_loop: MakeLoop) -> None:
    def ending(segments: Sequence[Segment]) -> list[tuple[SequenceState, Token]]:
        pairs = checked(segments)
        if len(pairs) > 2:
            pairs[1][1].token_id = 9
        return pairs

    loop = make_loop(step=ending)
    one, mailbox = sequence(10), loop.mailbox()
    one.stop_token_ids = frozenset({9})
    one.lookup = Sevens()  # type: ignore[assignment]
    loop.submit(one, mailbox)
    assert await whole(mailbox) == ([7, 7, 9], "stop")
    assert loop.load().kv_cache_usage == 0


async def test_what_was_computed_is_to_be_trusted_after_an_orderly_end_alone(
    make_loop: MakeLoop,
) -> None:
    idle, good, failing = make_loop(), make_loop(), make_loop(step=_fail)
    for loop in (good, failing):
        loop.submit(sequence(2), loop.mailbox())
        await settle(loop)
    assert not good.has_computed  # it may still compute
    for loop in (idle, good, failing):
        loop.close()
    assert [loop.has_computed for loop in (idle, good, failing)] == [False, True, False]


def _fail(_: Sequence[Segment]) -> list[tuple[SequenceState, Token]]:
    raise ValueError("a step that fails")
