"""Planted misses: each cause is named, with the part of the request and the token.

The token is held against the ids of the requests themselves: the first one that the nearest earlier
request does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest

from serve.pipeline.events import CacheExplained, TextPrompt, TokensPrompt
from serve.pipeline.template import ChatTemplate
from serve.timeline import CacheCause
from tests.serve.pipeline.forms.answers import tokenizer_of
from tests.serve.pipeline.forms.catalogue import FORMS
from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.fourth_forms import FOURTH_FORMS
from tests.serve.pipeline.forms.later_forms import LATER_FORMS
from tests.serve.pipeline.forms.latest_forms import LATEST_FORMS
from tests.serve.pipeline.forms.third_forms import THIRD_FORMS
from tests.serve.pipeline.prefix.asking import (
    Message,
    Session,
    form_of,
    result,
    said,
    system,
    tool,
    user,
)

LONG = "The audit log of the server is in the state directory, and nowhere else on the disk. "
AGENT = system("You are an agent that keeps the audit log. " + 3 * LONG)
CALL = '<tool_call>\n{"name": "read", "arguments": {"path": "state/audit.log"}}\n</tool_call>'
OTHER = "Nobody has ever asked for anything of this kind before, neither here nor elsewhere. "


@dataclass
class Talk:
    """A conversation of a question, a call, its result, an answer, and the next question."""

    messages: list[Message] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(
        default_factory=lambda: [tool("read"), tool("write"), tool("list")]
    )


async def talked(session: Session, *, with_tools: bool = True) -> Talk:
    """Two turns that the server has seen, and a third question that it has not."""
    talk = Talk([deepcopy(AGENT), user("Where is the audit log? " + LONG)])
    if not with_tools:
        talk.tools = []
    for more in (
        [result("It is 4 MB large, and was written to a minute ago. " + LONG)],
        [user("And when was it rotated? " + LONG)],
    ):
        explained, choice = await session.ask(talk.messages, talk.tools)
        assert explained.cause in {"never_seen", "hit"}
        talk.messages += [said(choice), *more]
    return talk


Plant = Callable[[Talk], None]
PLANTED: dict[str, tuple[CacheCause, str, Plant]] = {}


def planted(cause: CacheCause, at: str) -> Callable[[Plant], Plant]:
    def note(plant: Plant) -> Plant:
        PLANTED[plant.__name__] = (cause, at, plant)
        return plant

    return note


@planted("tools_changed", "tools[1]")
def a_description(talk: Talk) -> None:
    talk.tools[1] = tool("write", "Writes a line, and nothing else.")


@planted("tools_changed", "tools[2]")
def a_parameter(talk: Talk) -> None:
    talk.tools[2]["function"]["parameters"]["properties"]["depth"] = {"type": "integer"}


@planted("tools_changed", "tools[3]")
def a_tool_more(talk: Talk) -> None:
    talk.tools.append(tool("rotate"))


@planted("tools_changed", "tools[2]")
def a_tool_less(talk: Talk) -> None:
    del talk.tools[2]


@planted("tools_changed", "tools[0]")
def tools_in_another_order(talk: Talk) -> None:
    talk.tools.reverse()


@planted("tools_changed", "tools[0]")
def no_tools_any_more(talk: Talk) -> None:
    talk.tools.clear()


@planted("system_changed", "messages[0].content")
def a_word_of_the_system_prompt(talk: Talk) -> None:
    talk.messages[0]["content"] = AGENT["content"].replace("keeps", "guards")


@planted("system_changed", "messages[0].content")
def a_time_at_its_end(talk: Talk) -> None:
    talk.messages[0]["content"] += "It is 12:03 now."


@planted("system_changed", "messages[0].content")
def a_time_at_its_beginning(talk: Talk) -> None:
    talk.messages[0]["content"] = "At 12:03: " + talk.messages[0]["content"]


@planted("system_changed", "system prompt")
def no_system_prompt_any_more(talk: Talk) -> None:
    del talk.messages[0]


@planted("history_edited", "messages[1].content")
def an_early_question(talk: Talk) -> None:
    talk.messages[1]["content"] = "Where was the audit log? " + LONG


@planted("history_edited", "messages[2].tool_calls")
def arguments_written_anew(talk: Talk) -> None:
    function = talk.messages[2]["tool_calls"][0]["function"]
    function["arguments"] = '{"path": "audit.log"}'


@planted("history_edited", "messages[3].content")
def a_result_that_was_shortened(talk: Talk) -> None:
    talk.messages[3]["content"] = "It is 4 MB large, and was [cut]"


@planted("history_edited", "messages[4].content")
def the_last_answer(talk: Talk) -> None:
    talk.messages[4] = {"role": "assistant", "content": "I do not know, I am afraid."}


@planted("history_edited", "messages[1].content")
def the_oldest_turns_left_out(talk: Talk) -> None:
    del talk.messages[1:4]
    talk.messages.insert(1, user("(Earlier turns were left out.) " + LONG))


@planted("history_edited", "messages[2].content")
def a_message_put_in(talk: Talk) -> None:
    talk.messages.insert(2, user("By the way: " + LONG))


@planted("never_seen", "messages[0].content")
def another_conversation(talk: Talk) -> None:
    talk.tools.clear()
    talk.messages[:] = [system(OTHER), user(OTHER), said_so(), user("Go on. " + OTHER)]


@planted("never_seen", "messages[1].content")
def an_unknown_history_behind_the_known_system_prompt(talk: Talk) -> None:
    talk.messages[1:] = [user(OTHER), said_so(), user("Go on. " + OTHER)]


@planted("hit", "None")
def a_new_conversation_behind_the_known_system_prompt(talk: Talk) -> None:
    talk.messages[1:] = [user(OTHER)]


@planted("hit", "None")
def nothing(_: Talk) -> None:
    pass


@planted("hit", "None")
def the_last_answer_is_asked_for_again(talk: Talk) -> None:
    del talk.messages[4:]


def said_so() -> Message:
    return {"role": "assistant", "content": "So it is. " + OTHER}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("block_size", [1, 16])
async def test_a_planted_miss_is_named_at_its_token(name: str, block_size: int) -> None:
    cause, at, plant = PLANTED[name]
    session = Session(said=CALL, block_size=block_size)
    talk = await talked(session)
    plant(talk)
    explained, _ = await session.ask(talk.messages, talk.tools)
    assert (explained.cause, str(explained.at)) == (cause, at), explained
    assert explained.token == explained.known_tokens == session.parted_at
    assert (
        explained.cached_tokens
        == min(
            explained.token // block_size,
            (explained.prompt_tokens - 1) // block_size,
        )
        * block_size
    )


def test_there_are_twenty_planted_misses_and_more() -> None:
    causes = [cause for cause, _, _ in PLANTED.values()]
    others = len(EVICTED) + len(OF_OTHERS) + 3  # the template's own, below
    assert len([cause for cause in causes if cause != "hit"]) + others >= 20


@planted("tools_changed", "tools[1]")
def one_tool_left(talk: Talk) -> None:
    talk.tools = [tool("read")]


@planted("system_changed", "messages[0].content")
def a_first_system_prompt(talk: Talk) -> None:
    talk.messages[0] = system("From now on: be brief. " + LONG)


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


EVERY = [*FORMS, *LATER_FORMS, *LATEST_FORMS, *THIRD_FORMS, *FOURTH_FORMS]
SAYS_NO_MORE_THAN_NAMES = {"qwen3_coder", "gpt_oss"}
"""Templates that write no description of a tool, in the corpus at least."""


def edited_question(messages: list[Message], _: list[dict[str, Any]]) -> None:
    messages[3]["content"] = "This question was changed! " + LONG


def edited_answer(messages: list[Message], _: list[dict[str, Any]]) -> None:
    messages[4]["content"] = "Another answer altogether. " + LONG


def edited_system(messages: list[Message], _: list[dict[str, Any]]) -> None:
    messages[0]["content"] = AGENT["content"].replace("keeps", "guards")


def edited_tool(_: list[Message], tools: list[dict[str, Any]]) -> None:
    tools[1] = tool("write", "Writes a line, and nothing else.")


EDITS: dict[Callable[[list[Message], list[dict[str, Any]]], None], tuple[CacheCause, str]] = {
    edited_question: ("history_edited", "messages[3].content"),
    edited_answer: ("history_edited", "messages[4].content"),
    edited_system: ("system_changed", "messages[0].content"),
    edited_tool: ("tools_changed", "tools[1]"),
}


def test_misses_are_named_whatever_the_template(is_proving: bool) -> None:
    """Here a sample of forms; ``make prove`` takes them all."""
    for form in EVERY if is_proving else EVERY[:: len(EVERY) // 5]:
        end = form.ends[0].strip() if form.ends else ""
        if end not in tokenizer_of(form).added_ids:
            continue
        has_tools = form.calls != "none" and ChatTemplate(form.source, {}).has_tools
        for edit, named in EDITS.items():
            if edit is not edited_tool or (has_tools and form.name not in SAYS_NO_MORE_THAN_NAMES):
                asyncio.run(_named_rightly(form, edit, named, has_tools=has_tools))


async def _named_rightly(
    form: Form, edit: Callable[..., None], named: tuple[CacheCause, str], *, has_tools: bool
) -> None:
    session = Session(form=form)
    messages = [deepcopy(AGENT)]
    for number in range(3):
        messages.append(user(f"Question {number}: where is the log? " + LONG))
        messages.append({"role": "assistant", "content": f"Answer {number}: there. " + LONG})
    tools = [tool("read"), tool("write"), tool("list")] if has_tools else []
    messages.append(user("And the last one? " + LONG))
    await session.ask(messages, tools, options=form.arguments)
    edit(messages, tools)
    explained, _ = await session.ask(messages, tools, options=form.arguments)
    assert (explained.cause, explained.at) == named, (form, explained)
    assert explained.token == explained.known_tokens == session.parted_at
