"""One generator is one request: its events, its refusals, and that closing it frees everything.

Runs on the fake engine, which passes the same contract as the real ones.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from dataclasses import fields, replace
from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve import timeline
from serve.engine.fake import FakeEngine
from serve.engine.protocol import SamplingParams
from serve.engine.settings import EngineSettings, FakeSettings
from serve.errors import (
    ContextLengthExceeded,
    Draining,
    EngineDeadError,
    InvalidRequest,
    QueueFull,
    RequestError,
    UnsupportedField,
)
from serve.pipeline.admission import Admission
from serve.pipeline.events import (
    UNBOUNDED_TOKENS,
    Event,
    Finished,
    GenerateRequest,
    Prompt,
    Started,
    TextDelta,
    TextPrompt,
    TokensPrompt,
)
from serve.pipeline.generate import Pipeline
from serve.pipeline.render import Renderer
from serve.timeline import Timeline
from tests.serve.pipeline.conftest import byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()
EOS = TOKENIZER._tokenizer.token_to_id("<|im_end|>")


def script_of(text: str, *, ends: bool = True) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False) + ([EOS] if ends else [])


def pipeline_of(*, max_waiting: int = 8, **fake: object) -> Pipeline:
    settings = EngineSettings(
        max_model_len=256,
        max_num_seqs=4,
        fake=FakeSettings(
            vocab_size=TOKENIZER.vocab_size,
            eos_token_ids=frozenset({EOS}),
            **fake,  # type: ignore[arg-type]
        ),
    )
    engine = FakeEngine(settings)
    return Pipeline(
        engine=engine,
        renderer=Renderer(TOKENIZER, None),
        admission=Admission(max_running=4, max_waiting=max_waiting),
    )


def request_of(
    *prompts: Prompt,
    n: int = 1,
    stop: tuple[str, ...] = (),
    max_tokens: int = UNBOUNDED_TOKENS,
    **given: object,
) -> GenerateRequest:
    """A request; what is given is of its own or of its sampling."""
    own = {part.name for part in fields(GenerateRequest)}
    sampling = {name: value for name, value in given.items() if name not in own}
    rest = {name: value for name, value in given.items() if name in own}
    return GenerateRequest(
        request_id="req-1",
        tenant="tests",
        prompts=prompts or (TextPrompt("Where is the audit log?"),),
        n=n,
        stop=stop,
        sampling=SamplingParams(max_tokens=max_tokens, temperature=0, **sampling),  # type: ignore[arg-type]
        timeline=Timeline(arrived_at=timeline.now()),
        **rest,  # type: ignore[arg-type]
    )


async def run(pipeline: Pipeline, request: GenerateRequest) -> list[Event]:
    async with aclosing(pipeline.generate(request)) as events:
        return [event async for event in events]


def texts(events: list[Event]) -> dict[int, str]:
    joined: dict[int, str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            joined[event.index] = joined.get(event.index, "") + event.text
    return joined


def is_free(pipeline: Pipeline) -> bool:
    load = pipeline.engine.load()
    return pipeline.num_admitted == load.num_running == load.num_waiting == 0


async def test_a_request_starts_speaks_and_finishes() -> None:
    pipeline = pipeline_of(script=script_of("In the state directory."))
    request = request_of()
    events = await run(pipeline, request)
    prompt_tokens = len(script_of("Where is the audit log?", ends=False))
    room = pipeline.engine.info.max_model_len - prompt_tokens
    most = min(request.sampling.max_tokens, room)
    assert events[0] == Started(
        prompt_tokens=prompt_tokens, max_completion_tokens=most, num_sequences=1
    )
    assert texts(events) == {0: "In the state directory."}
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.reason == "stop"
    assert last.usage.completion_tokens == len(script_of("In the state directory."))
    assert request.timeline.usage == last.usage
    assert request.timeline.finish_reason == "stop"
    assert is_free(pipeline)


async def test_the_record_has_every_stamp_in_order() -> None:
    request = request_of(max_tokens=5)
    await run(pipeline_of(), request)
    record = request.timeline
    stamps = [
        record.arrived_at,
        record.admitted_at,
        record.submitted_at,
        record.first_token_at,
        record.last_token_at,
    ]
    assert None not in stamps
    assert stamps == sorted(s for s in stamps if s is not None)
    assert len(record.itl_s) == record.usage.completion_tokens - 1 == 4


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    stop=st.sampled_from([(), (".",), ("e c", "zzz"), ("🙂",), ("two phases",)]),
    max_tokens=st.integers(1, 40),
)
async def test_any_chunking_gives_the_same_events(
    sizes: list[int], stop: tuple[str, ...], max_tokens: int
) -> None:
    script = script_of("two phases 🙂, one cache. 你好")

    async def outcome(chunk_sizes: list[int]) -> tuple[dict[int, str], Event, timeline.Usage]:
        request = request_of(stop=stop, max_tokens=max_tokens)
        events = await run(pipeline_of(script=script, chunk_sizes=chunk_sizes), request)
        return texts(events), events[-1], request.timeline.usage

    assert await outcome(sizes) == await outcome([1])


async def test_choices_of_one_request_share_its_slot_and_differ_by_index() -> None:
    pipeline = pipeline_of()
    prompts = (TextPrompt("prefill"), TextPrompt("decode"))
    request = request_of(*prompts, n=2, max_tokens=6)
    events = await run(pipeline, request)
    finished = [event for event in events if isinstance(event, Finished)]
    assert sorted(event.index for event in finished) == [0, 1, 2, 3]
    assert request.timeline.usage.completion_tokens == 24
    assert request.timeline.usage.prompt_tokens == sum(
        len(script_of(prompt.text, ends=False)) for prompt in prompts
    )
    joined = texts(events)
    assert joined[0] == joined[1] != joined[2] == joined[3]
    assert is_free(pipeline)


async def test_siblings_of_one_seed_differ_and_repeat() -> None:
    def sampled() -> GenerateRequest:
        request = request_of(n=2, max_tokens=8, seed=7)
        return replace(request, sampling=replace(request.sampling, temperature=1.0))

    first = texts(await run(pipeline_of(), sampled()))
    assert first[0] != first[1]
    assert texts(await run(pipeline_of(), sampled())) == first


async def test_logprobs_come_with_text_and_exact_bytes() -> None:
    script = script_of("naïve")
    events = await run(pipeline_of(script=script), request_of(num_logprobs=2))
    logprobs = [t for e in events if isinstance(e, TextDelta) for t in e.logprobs]
    assert b"".join(token.raw for token in logprobs).decode() == "naïve"
    assert all(len(token.top) == 2 for token in logprobs)


REFUSALS = [
    (request_of(TokensPrompt((1,) * 256)), ContextLengthExceeded, "context is 256"),
    (request_of(TextPrompt("")), InvalidRequest, "empty"),
    (request_of(TokensPrompt((10**6,))), InvalidRequest, "token id out of range"),
    (request_of(n=8, max_tokens=1, logit_bias={10**6: 1.0}), InvalidRequest, "logit_bias"),
]


@pytest.mark.parametrize(("request_", "error", "message"), REFUSALS)
async def test_refusals_come_before_started_and_hold_nothing(
    request_: GenerateRequest, error: type[RequestError], message: str
) -> None:
    pipeline = pipeline_of()
    with pytest.raises(error, match=message):
        await anext(pipeline.generate(request_))
    assert is_free(pipeline)


async def test_others_have_their_turn_between_the_prompts_of_a_request() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    neighbour = asyncio.create_task(others())
    request = request_of(*[TextPrompt("x")] * 8, max_tokens=1)
    async with aclosing(pipeline_of().generate(request)) as events:
        assert isinstance(await anext(events), Started)
    neighbour.cancel()
    assert turns >= 7


@pytest.mark.parametrize("max_tokens", [56, 57, 64_000, 2**63 - 1])
async def test_more_tokens_than_fit_are_as_many_as_fit(max_tokens: int) -> None:
    request = request_of(TokensPrompt((1,) * 200), max_tokens=max_tokens, ignore_eos=True)
    await run(pipeline_of(), request)
    assert request.timeline.usage.completion_tokens == 56
    assert request.timeline.finish_reason == "length"


async def test_a_prompt_without_room_is_refused_by_its_own_name() -> None:
    for prompt, name in ((TokensPrompt((1,) * 256), "prompt"), (TextPrompt("x" * 999), "prompt")):
        with pytest.raises(ContextLengthExceeded) as refused:
            await anext(pipeline_of().generate(request_of(prompt, max_tokens=1)))
        assert refused.value.param == name


async def test_the_whole_context_may_be_used() -> None:
    request = request_of(TokensPrompt((1,) * 255))
    await run(pipeline_of(), request)
    assert request.timeline.usage.completion_tokens == 1
    assert request.timeline.finish_reason == "length"


async def test_a_missing_capability_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_of()
    bare = replace(pipeline.engine.info, capabilities=frozenset())
    monkeypatch.setattr(pipeline.engine, "_info", bare)
    with pytest.raises(UnsupportedField, match="does not support min_p") as refused:
        await anext(pipeline.generate(request_of(min_p=0.5)))
    assert refused.value.param == "min_p"


async def test_a_full_house_refuses_and_recovers() -> None:
    pipeline = pipeline_of(max_waiting=0)
    async with aclosing(pipeline.generate(request_of(n=4))) as events:
        await anext(events)
        with pytest.raises(QueueFull):
            await anext(pipeline.generate(request_of()))
    assert is_free(pipeline)
    await run(pipeline, request_of(max_tokens=1))


async def test_drain_lets_the_running_finish() -> None:
    pipeline = pipeline_of()
    async with aclosing(pipeline.generate(request_of(max_tokens=3))) as events:
        await anext(events)
        pipeline.drain()
        with pytest.raises(Draining):
            await anext(pipeline.generate(request_of()))
        rest = [event async for event in events]
    assert isinstance(rest[-1], Finished)
    assert rest[-1].reason == "length"


@pytest.mark.parametrize("n", [1, 3])
async def test_engine_death_is_an_event_of_every_choice(n: int) -> None:
    pipeline = pipeline_of(die_after=5)
    events = await run(pipeline, request_of(n=n))
    finished = [event for event in events if isinstance(event, Finished)]
    assert len(finished) == n
    assert all(isinstance(event.error, EngineDeadError) for event in finished)
    assert pipeline.num_admitted == 0


async def test_a_defect_is_an_event_without_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_of()

    def broken(*_: object) -> object:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(pipeline.engine, "stream", broken)
    events = await run(pipeline, request_of())
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.error is not None
    assert last.error.code == "internal_error"
    assert "secret" not in last.error.message
    assert "req-1" in last.error.message


async def test_500_random_disconnects_leave_nothing() -> None:
    pipeline = pipeline_of(max_waiting=64)
    randomness = random.Random(0)
    for _ in range(500):
        request = request_of(n=randomness.choice([1, 1, 3]), max_tokens=20)
        events = pipeline.generate(request)
        for _ in islice(cycle([0]), randomness.randrange(12)):
            if await anext(events, None) is None:
                break
        await events.aclose()
    assert is_free(pipeline)


async def test_a_disconnected_request_is_still_recorded() -> None:
    request = request_of(max_tokens=20)
    events = pipeline_of().generate(request)
    while request.timeline.usage.completion_tokens < 3:
        await anext(events)
    await events.aclose()
    assert request.timeline.usage.completion_tokens == 3
    assert request.timeline.finish_reason is None
