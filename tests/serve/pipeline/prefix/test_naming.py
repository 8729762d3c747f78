"""Causes that no change of a request has, and those of templates, settings and plain prompts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from serve.pipeline.events import CacheExplained, TextPrompt, TokensPrompt
from tests.serve.pipeline.prefix.asking import (
    AGENT,
    CALL,
    LONG,
    OTHER,
    Session,
    form_of,
    said,
    talked,
    tool,
    user,
)

EVICTED: dict[str, Callable[[Session], Awaitable[None]]] = {}


async def _all(session: Session) -> None:
    session.engine.forget()


async def _some(session: Session) -> None:
    session.engine.forget(9)


async def _by_others(session: Session) -> None:
    for number in range(6):
        await session.ask([user(f"{number} {OTHER * 9}")], tenant="another")


EVICTED |= {"all of it": _all, "the end of it": _some, "by others": _by_others}


@pytest.mark.parametrize("name", EVICTED)
async def test_what_was_known_and_is_cached_no_more_is_evicted(name: str) -> None:
    session = Session(said=CALL, capacity=64)
    talk = await talked(session)
    before = session.ids[-1]
    await EVICTED[name](session)
    explained, _ = await session.ask(talk.messages, talk.tools)
    assert explained.cause == "evicted"
    assert explained.token == explained.cached_tokens < explained.known_tokens == len(before)
    assert explained.at is not None


async def test_an_eviction_is_named_at_the_message_where_the_cache_ended() -> None:
    session = Session(block_size=1)
    messages = [AGENT, user("Where is the audit log? " + LONG)]
    explained, choice = await session.ask(messages)
    size = explained.prompt_tokens
    session.engine.forget(len(session.ids[-1]) - size + 40)
    explained, _ = await session.ask([*messages, said(choice), user("And now?")])
    assert (explained.cause, explained.at) == ("evicted", "messages[1].content")
    assert explained.token == size - 40


OF_OTHERS: dict[str, dict[str, Any]] = {
    "another tenant": {"tenant": "two"},
    "another salt": {"cache_salt": "mine"},
    "another adapter": {"adapter": "support"},
}


@pytest.mark.parametrize("name", ["another tenant", "another salt"])
async def test_what_others_asked_is_never_seen(name: str) -> None:
    session = Session(said=CALL)
    talk = await talked(session)
    explained, _ = await session.ask(talk.messages, talk.tools, **OF_OTHERS[name])
    assert (explained.cause, explained.token) == ("never_seen", 0)
    assert (explained.known_tokens, explained.cached_tokens) == (0, 0)
    edited = [AGENT, user("Something else. " + LONG), *talk.messages[2:]]
    explained, _ = await session.ask(edited, talk.tools, tenant="three")
    assert (explained.cause, explained.token, explained.known_tokens) == ("never_seen", 0, 0)


async def test_the_first_tools_are_named() -> None:
    session = Session()
    messages = [AGENT, user("Where is the audit log? " + LONG)]
    await session.ask(messages)
    explained, _ = await session.ask(messages, [tool("read"), tool("write")])
    assert (explained.cause, explained.at) == ("tools_changed", "tools[0]")
    assert explained.token == session.parted_at


DATED = "{{ '<|im_start|>system\\n' }}{{ strftime_now('%f') }}{{ '<|im_end|>\\n' }}"


async def test_a_time_in_the_template_is_the_templates() -> None:
    session = Session(source=DATED + form_of("qwen2_5").source)
    messages = [AGENT, user("Where is the audit log? " + LONG)]
    _, choice = await session.ask(messages)
    explained, _ = await session.ask([*messages, said(choice), user("And now? " + LONG)])
    assert (explained.cause, explained.at) == ("template_changed", "chat_template")
    assert explained.near == "messages[0]"
    assert explained.token == session.parted_at


async def test_a_setting_that_the_template_reads_is_named() -> None:
    source = "{% if style %}{{ '<|im_start|>system\\n' + style + '<|im_end|>\\n' }}{% endif %}"
    session = Session(source=source + form_of("qwen2_5").source)
    messages = [AGENT, user("Where is the audit log? " + LONG)]
    await session.ask(messages, options={"style": "brief"})
    explained, _ = await session.ask(messages, options={"style": "long"})
    assert (explained.cause, explained.at) == ("template_changed", "chat_template_kwargs")
    assert explained.token == session.parted_at


THOUGHT = "<think>\nLet me think about where it is.\n</think>\n\nIt is in the state directory."


async def test_reasoning_that_the_template_drops_is_the_templates_doing() -> None:
    session = Session(form=form_of("qwen3"), said=THOUGHT)
    messages = [AGENT, user("Where is the audit log? " + LONG)]
    _, choice = await session.ask(messages)
    assert choice.text_of("reasoning")
    messages += [said(choice), user("And now? " + LONG)]
    explained, choice = await session.ask(messages)
    assert (explained.cause, explained.at, explained.near) == (
        "template_changed",
        "chat_template",
        "messages[2].content",
    )
    assert explained.token == session.parted_at


async def test_reasoning_that_the_client_left_out_is_the_clients_doing() -> None:
    """This template writes what it is given."""
    source = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.reasoning_content %}"
        "{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}"
        "{{ (m.content or '') + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    session = Session(form=form_of("qwen3"), source=source, said=THOUGHT)
    messages = [AGENT, user("Where is the audit log? " + LONG)]
    _, choice = await session.ask(messages)
    kept = [*messages, said(choice), user("And now? " + LONG)]
    left_out = {"role": "assistant", "content": choice.text}
    explained, _ = await session.ask([*messages, left_out, user("And now? " + LONG)])
    assert (explained.cause, explained.at) == ("history_edited", "messages[2].reasoning_content")
    explained, _ = await session.ask(kept)
    assert explained.cause == "hit"


async def test_a_plain_prompt_has_no_parts_but_itself() -> None:
    session = Session()
    text = "Once there was an audit log. " + 4 * LONG

    async def ask(prompt: str) -> CacheExplained:
        explained, _, _ = await session.run(TextPrompt(prompt))
        return explained[0]

    assert (await ask(text)).cause == "never_seen"
    assert (await ask(text + "And?")).cause == "hit"
    edited = await ask(text.replace("there was", "there will be"))
    assert (edited.cause, edited.at) == ("history_edited", "prompt")
    assert edited.token == session.parted_at
    assert (await ask(OTHER)).cause == "never_seen"
    ids = session.pipeline.renderer.tokenizer.encode(text, add_special_tokens=False)
    explained, _, _ = await session.run(TokensPrompt(tuple(ids)))
    assert explained[0].cause == "hit"


async def test_a_prompt_whose_log_probabilities_are_wanted_passes_the_cache_by() -> None:
    session = Session()
    messages = [AGENT, user("Where is the audit log? " + LONG)]
    await session.ask(messages)
    explained, _ = await session.ask(messages, sampling={"num_prompt_logprobs": 0})
    assert (explained.cause, explained.cached_tokens) == ("bypassed", 0)


@pytest.mark.parametrize(("is_exact", "cause"), [(True, "bypassed"), (False, "evicted")])
@pytest.mark.parametrize("sampling", [{"seed": 7}, {"num_logprobs": 0}])
async def test_what_a_request_may_not_take_is_not_told_as_evicted(
    sampling: dict[str, int], cause: str, *, is_exact: bool
) -> None:
    """An answer's own blocks are not for requests with a seed or with log-probabilities."""
    session = Session(block_size=1)
    session.engine.info = replace(session.engine.info, has_exact_prefixes=is_exact)
    messages = [AGENT, user("Where is the audit log? " + LONG)]
    explained, choice = await session.ask(messages, sampling=sampling)
    size = explained.prompt_tokens
    session.engine.forget(len(session.ids[-1]) - size)
    explained, _ = await session.ask([*messages, said(choice), user("And now?")], sampling=sampling)
    assert (explained.cause, explained.token) == (cause, size)
