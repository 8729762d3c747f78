"""Planted misses: each cause is named, with the part of the request and the token.

The token is held against the ids of the requests themselves: the first one that the nearest earlier
request does not have.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serve.pipeline.events import ChatPrompt
from serve.timeline import CacheCause
from tests.serve.pipeline.prefix.asking import (
    AGENT,
    CALL,
    LONG,
    OTHER,
    Message,
    Session,
    Talk,
    system,
    talked,
    tool,
    user,
)

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


@planted("tools_changed", "tools[1]")
def one_tool_left(talk: Talk) -> None:
    talk.tools = [tool("read")]


@planted("system_changed", "messages[0].content")
def a_first_system_prompt(talk: Talk) -> None:
    talk.messages[0] = system("From now on: be brief. " + LONG)


def test_there_are_twenty_planted_misses_over_the_causes() -> None:
    """Here and in test_naming.py, where what is evicted and what others asked is tried."""
    misses = [cause for cause, _, _ in PLANTED.values() if cause != "hit"]
    assert len(misses) >= 20
    assert set(misses) == {"tools_changed", "system_changed", "history_edited", "never_seen"}


@pytest.mark.parametrize(
    ("name", "block_size"),
    [*((name, 16) for name in PLANTED), *((name, 1) for name in [*PLANTED][::6])],
)
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


@pytest.mark.parametrize("name", [*PLANTED][::2])
async def test_the_cause_is_the_same_for_who_did_not_ask(name: str) -> None:
    """It is counted, by digests alone where these tell."""
    cause, _, plant = PLANTED[name]
    session = Session(said=CALL)
    talk = await talked(session)
    plant(talk)
    prompt = ChatPrompt(messages=tuple(talk.messages), tools=tuple(talk.tools))
    explained, _, record = await session.run(prompt, explains_cache=False)
    assert explained == []
    assert record.cache_causes == [cause]
