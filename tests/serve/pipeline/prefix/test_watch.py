"""The watch over requests: when a prompt becomes known, to whom, and what is told of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from serve import timeline
from serve.engine.protocol import SamplingParams
from serve.pipeline.events import ChatPrompt, GenerateRequest, TextDelta, TokensPrompt
from serve.pipeline.prefix.watch import MAX_WATCHED
from serve.timeline import Timeline
from tests.serve.pipeline.prefix.asking import Session, said, system, user

LONG = "The audit log of the server is in the state directory, and nowhere else on the disk. "
TALK = [system("You are an agent. " + LONG), user("Where is the log? " + LONG)]


def request_of(**given: object) -> GenerateRequest:
    fields = {"prompts": (ChatPrompt(messages=tuple(TALK)),), "tenant": "one", **given}
    return GenerateRequest(
        request_id="req-1",
        sampling=SamplingParams(max_tokens=50, temperature=0),
        timeline=Timeline(arrived_at=timeline.now()),
        **fields,  # type: ignore[arg-type]
    )


async def test_the_known_prefix_holds_the_answer_but_for_its_last_token() -> None:
    session = Session(block_size=1)
    _, choice = await session.ask(TALK)
    known = len(session.ids[-1])
    explained, _ = await session.ask([*TALK, said(choice), user("And now?")])
    assert explained.known_tokens == explained.cached_tokens == known


async def test_a_prompt_is_known_once_its_first_token_is_there_and_not_before() -> None:
    session = Session()
    async with aclosing(session.pipeline.generate(request_of())) as events:
        await anext(events)  # Started: nothing is computed yet
        explained, _ = await session.ask(TALK)
        assert explained.cause == "never_seen"
        async for event in events:
            if isinstance(event, TextDelta):
                break
        explained, _ = await session.ask(TALK)
        assert explained.cause == "hit"


async def test_an_answer_that_was_left_is_known_as_far_as_it_came() -> None:
    session = Session(block_size=1)
    request = request_of()
    async with aclosing(session.pipeline.generate(request)) as events:
        num_texts = 0
        async for event in events:
            num_texts += isinstance(event, TextDelta)
            if num_texts == 4:
                break
    assert request.timeline.cache_causes == []  # it did not come to its end
    explained, _ = await session.ask(TALK)
    assert explained.cause == "hit"
    assert session.pipeline._watcher._known.num_tokens > 0


async def test_choices_of_one_prompt_are_all_known() -> None:
    session = Session(block_size=1)
    explained, answer, record = await session.run(ChatPrompt(messages=tuple(TALK)), n=3)
    assert [entry.cause for entry in explained] == record.cache_causes == ["never_seen"]
    assert record.usage.cached_tokens == 0
    for choice in answer.choices:
        more, _ = await session.ask([*TALK, said(choice), user("And?")])
        assert more.cause == "hit"


async def test_a_bulk_job_is_watched_in_part() -> None:
    session = Session()
    prompts = [TokensPrompt((number, 7, 8)) for number in range(MAX_WATCHED + 4)]
    explained, _, record = await session.run(*prompts)
    assert len(explained) == len(record.cache_causes) == MAX_WATCHED


async def test_equal_prompts_of_two_tenants_know_nothing_of_each_other() -> None:
    session = Session()
    first, _ = await session.ask(TALK, tenant="one")
    second, _ = await session.ask(TALK, tenant="two")
    assert second == first
    assert (second.cause, second.known_tokens, second.cached_tokens) == ("never_seen", 0, 0)


@pytest.mark.parametrize("name", ["tenant", "cache_salt"])
async def test_an_owner_learns_the_same_whatever_others_ask(name: str) -> None:
    """Side by side with others that ask the same, or parts of it."""
    alone, beside = Session(), Session()
    talks = [TALK, [*TALK[:1], user("Something else. " + LONG)], TALK]
    expected = [(await alone.ask(talk))[0] for talk in talks]
    others = [{name: f"other {number}"} for number in range(3)]

    async def with_others(talk: list[dict[str, object]]) -> object:
        told = await asyncio.gather(
            beside.ask(talk), *(beside.ask(TALK, **other) for other in others)
        )
        return told[0][0]

    assert [await with_others(talk) for talk in talks] == expected


async def test_spans_of_a_prompt_are_tokenised_once_for_their_owner() -> None:
    session = Session()
    tokenizer = session.pipeline.renderer.tokenizer
    talk = [system("You are an agent. " + 20 * LONG), user("Where is the log? " + 20 * LONG)]
    _, choice = await session.ask(talk)
    longer = [*talk, said(choice), user("And now?")]
    before = tokenizer.num_chars_rendered
    await session.ask(longer)
    new = tokenizer.num_chars_rendered - before
    before = tokenizer.num_chars_rendered
    await session.ask(longer, tenant="two")
    assert new < 700
    assert tokenizer.num_chars_rendered - before > 3000
