"""Misses are named by whatever template they are rendered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from serve.pipeline.template import ChatTemplate
from serve.timeline import CacheCause
from tests.serve.pipeline.forms.answers import tokenizer_of
from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.prefix.asking import (
    AGENT,
    EVERY_FORM,
    LONG,
    Message,
    Session,
    tool,
    user,
)

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
    for form in EVERY_FORM if is_proving else EVERY_FORM[:: len(EVERY_FORM) // 3]:
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
