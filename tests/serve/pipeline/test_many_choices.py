"""Requests of many choices: all are answered, none holds more than its share, nobody starves."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from serve.errors import QueueFull
from serve.pipeline.events import (
    Finished,
    GenerateRequest,
    Prompt,
    PromptTokens,
    TextDelta,
    TextPrompt,
    TokenIds,
    TokensPrompt,
)
from serve.pipeline.generate import Pipeline
from tests.serve.pipeline.test_generate import is_free, pipeline_of, request_of, run, texts

SLOTS = 4


class Watch:
    """The most that a pipeline ever held, looked at whenever another task had its turn."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.most_admitted = self.most_running = self.most_waiting = 0

    def look(self) -> None:
        load = self._pipeline.engine.load()
        self.most_admitted = max(self.most_admitted, self._pipeline.num_admitted)
        self.most_running = max(self.most_running, load.num_running)
        self.most_waiting = max(self.most_waiting, load.num_waiting)


def many(num_prompts: int, **options: object) -> GenerateRequest:
    prompts = [TokensPrompt((5 + number % 50,)) for number in range(num_prompts)]
    return request_of(*prompts, max_tokens=3, ignore_eos=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("num_prompts", [20, 2048])
async def test_every_prompt_is_answered_while_others_have_their_turn(num_prompts: int) -> None:
    """A second client's stream gets a slot at once, and its tokens come as before."""
    pipeline = pipeline_of(max_waiting=SLOTS)
    watch, ended = Watch(pipeline), 0
    between: list[int] = []

    async def second() -> None:
        for _ in range(5):
            async with aclosing(pipeline.generate(request_of(max_tokens=4))) as events:
                before = ended
                async for _event in events:
                    watch.look()
                between.append(ended - before)

    other: asyncio.Task[None] | None = None
    async with aclosing(pipeline.generate(many(num_prompts))) as events:
        async for event in events:
            watch.look()
            if other is None:
                other = asyncio.create_task(second())
            ended += isinstance(event, Finished)
    assert other is not None
    await other
    assert ended == num_prompts
    assert watch.most_admitted <= SLOTS  # the large one leaves one of them
    assert watch.most_waiting == 0
    assert max(between) <= 20, "a stream of four tokens waits for none of the thousands"
    assert is_free(pipeline)


async def test_two_large_requests_share_the_slots() -> None:
    pipeline = pipeline_of(max_waiting=2)
    both = await asyncio.gather(*(run(pipeline, many(50)) for _ in range(2)))
    for events in both:
        assert sorted(e.index for e in events if isinstance(e, Finished)) == list(range(50))
    three = [run(pipeline, many(50)) for _ in range(3)]
    *_, last = await asyncio.gather(*three, return_exceptions=True)
    assert isinstance(last, QueueFull)
    assert is_free(pipeline)


async def test_leaving_a_large_request_frees_all_of_it() -> None:
    pipeline = pipeline_of()
    async with aclosing(pipeline.generate(many(2048, n=2))) as events:
        async for event in events:
            if isinstance(event, Finished):
                break
    assert is_free(pipeline)


async def test_128_choices_of_one_prompt_need_no_more_slots_than_there_are() -> None:
    pipeline = pipeline_of(max_waiting=0)
    events = await run(pipeline, many(1, n=128, seed=1))
    assert sorted(e.index for e in events if isinstance(e, Finished)) == list(range(128))


async def test_the_best_are_told_and_all_are_counted() -> None:
    pipeline = pipeline_of()
    request = many(2, n=2, best_of=5)
    events = await run(pipeline, request)
    assert sorted(e.index for e in events if isinstance(e, Finished)) == [0, 1, 2, 3]
    assert request.timeline.usage.completion_tokens == 2 * 5 * 3
    assert not any(e.logprobs for e in events if isinstance(e, TextDelta))
    assert is_free(pipeline)


@pytest.mark.parametrize("prompt", [TextPrompt("Where is the log?"), TokensPrompt((40, 41, 42))])
async def test_an_echo_is_the_prompt_and_then_what_is_told_without_it(prompt: Prompt) -> None:
    plain = texts(await run(pipeline_of(), request_of(prompt, n=2, max_tokens=5)))
    request = request_of(prompt, n=2, max_tokens=5, num_logprobs=1, echoes=True)
    events = await run(pipeline_of(), request)
    told = texts(events)
    tokenizer = pipeline_of().renderer.tokenizer
    text = prompt.text if isinstance(prompt, TextPrompt) else tokenizer.decode_raw((40, 41, 42))
    assert told == {index: text + answer for index, answer in plain.items()}
    for index, whole in told.items():
        tokens = [
            token
            for event in events
            if isinstance(event, TextDelta) and event.index == index
            for token in event.logprobs
        ]
        for token in tokens:
            if "\ufffd" not in token.text:
                assert whole.startswith(token.text, token.offset)
        assert len(tokens) == 5 + request.timeline.usage.prompt_tokens


@pytest.mark.parametrize("num_logprobs", [None, 0])
async def test_nothing_is_told_behind_an_echo_of_no_tokens(num_logprobs: int | None) -> None:
    pipeline = pipeline_of()
    request = request_of(max_tokens=0, num_logprobs=num_logprobs, echoes=True)
    events = await run(pipeline, request)
    assert texts(events) == {0: "Where is the audit log?"}
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.usage.completion_tokens) == ("length", 0)
    assert request.timeline.usage.completion_tokens == 0
    assert pipeline.engine.load().num_steps == (0 if num_logprobs is None else 1)
    assert is_free(pipeline)


async def test_a_prompt_is_told_once_and_before_what_follows_it() -> None:
    request = request_of(
        TokensPrompt((40, 41)),
        TokensPrompt((42,)),
        n=3,
        max_tokens=2,
        num_prompt_logprobs=1,
        wants_token_ids=True,
    )
    events = await run(pipeline_of(), request)
    prompts = [event for event in events if isinstance(event, PromptTokens)]
    assert {event.prompt: event.token_ids for event in prompts} == {0: (40, 41), 1: (42,)}
    for event in prompts:
        first = next(
            at
            for at, other in enumerate(events)
            if isinstance(other, TextDelta | TokenIds) and other.index == 3 * event.prompt
        )
        assert events.index(event) < first
    ids: dict[int, int] = {}
    for event in events:
        if isinstance(event, TokenIds):
            ids[event.index] = ids.get(event.index, 0) + len(event.token_ids)
    assert ids == dict.fromkeys(range(6), 2)


async def test_words_and_ids_that_may_not_come_do_not() -> None:
    pipeline = pipeline_of()
    tokenizer = pipeline.renderer.tokenizer
    allowed = frozenset(tokenizer.encode("the log is here", add_special_tokens=False))
    words = {tuple(tokenizer.encode(text, add_special_tokens=False)) for text in ("log", " log")}
    request = request_of(
        max_tokens=40, allowed_token_ids=allowed, bad_words=("log",), wants_token_ids=True
    )
    events = await run(pipeline, request)
    ids = [i for event in events if isinstance(event, TokenIds) for i in event.token_ids]
    assert len(ids) == 40
    assert set(ids) <= allowed
    spelt = {tuple(ids[at : at + len(word)]) for word in words for at in range(len(ids))}
    assert not spelt & words
