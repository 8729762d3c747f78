"""What prompts are made of: equal where they are, and no text of them."""

from __future__ import annotations

from typing import Any

from serve.pipeline.answer import CollectedChoice
from serve.pipeline.events import ChatPrompt, TextPrompt, ToolCallDelta
from serve.pipeline.prefix.parts import Parts, answer_of, parts_of
from tests.serve.pipeline.prefix.asking import result, said, system, tool, user


def parts(*messages: dict[str, Any], **given: Any) -> Parts:
    return parts_of(ChatPrompt(messages=messages, **given))


def test_a_plain_prompt_has_no_parts() -> None:
    assert parts_of(TextPrompt("text")) == Parts(is_chat=False)


def test_system_messages_stand_before_the_history() -> None:
    made = parts(system("one"), {"role": "developer", "content": "two"}, user("q"), system("late"))
    assert made.num_system == 2
    assert [message.role for message in made.history] == ["user", "system"]
    assert made.system == made.messages[:2]


def test_each_part_shows_its_own_change_alone() -> None:
    messages = (system("s"), user("q"), result("r"))
    before = parts(*messages, tools=(tool("read"), tool("write")), options={"style": "brief"})
    tools = parts(*messages, tools=(tool("read"), tool("list")), options={"style": "brief"})
    assert (tools.tools[0], tools.tools[1] != before.tools[1]) == (before.tools[0], True)
    assert (tools.messages, tools.settings) == (before.messages, before.settings)
    assert parts(*messages, options={"style": "long"}).settings != before.settings
    assert parts(system("s"), user("other"), result("r")).messages[1] != before.messages[1]


def test_reasoning_is_one_field_under_any_name_and_what_is_empty_is_none() -> None:
    one, other = (
        parts({"role": "assistant", "content": "a", name: "t"}).messages[0]
        for name in ("reasoning", "reasoning_content")
    )
    assert one == other
    assert set(one.fields) == {"content", "reasoning_content"}
    bare = parts({"role": "assistant", "content": None, "tool_calls": []}).messages[0]
    assert bare.fields == {}


def test_short_messages_tell_nothing() -> None:
    assert not parts(user("go on")).telling
    assert parts(user("Where is the audit log?")).telling
    assert not parts(system("You are an agent that looks after logs.")).telling


def test_an_answer_that_comes_back_as_it_was_told_is_known_again() -> None:
    choice = CollectedChoice(0)
    choice.deltas["content"] = ["It is ", "there."]
    choice.deltas["reasoning"] = ["Where?"]
    choice.tool_calls = [
        ToolCallDelta(index=0, call=0, call_id="c", name="read", arguments='{"path":'),
        ToolCallDelta(index=0, call=0, arguments=' "a"}'),
    ]
    answer, message = answer_of(choice), parts(said(choice)).messages[0]
    assert (message.content, message.calls) == (answer.content, answer.calls)
    assert message.fields["reasoning_content"] == answer.reasoning
    listed = {**said(choice), "content": [{"type": "text", "text": "It is there."}]}
    assert parts(listed).messages[0].content == answer.content
    anew = said(choice)
    anew["tool_calls"][0]["function"]["arguments"] = '{"path":"a"}'
    assert parts(anew).messages[0].calls != answer.calls
