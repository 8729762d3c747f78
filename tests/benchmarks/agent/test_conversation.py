"""The history grows by the client's texts and the model's own answers."""

from __future__ import annotations

import pytest

from benchmarks.agent.asking import Answer
from benchmarks.agent.conversation import Conversation
from benchmarks.agent.scripts import Script, Turn

SCRIPT = Script("Ada", "You are Ada.", (), tuple(Turn(f"q{n}", f"r{n}") for n in range(3)))


def made_call(arguments: str = "{}", call_id: str | None = "c1") -> dict:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": "read", "arguments": arguments},
    }


def test_questions_follow_texts_and_results_follow_calls():
    conversation = Conversation(SCRIPT)
    conversation.begin_turn()
    assert conversation.end_turn(Answer(content="Well."))
    conversation.begin_turn()
    assert conversation.end_turn(Answer(calls={0: made_call(), 1: made_call(call_id="c2")}))
    conversation.begin_turn()
    assert conversation.messages == [
        {"role": "system", "content": "You are Ada."},
        {"role": "user", "content": "q0"},
        {"role": "assistant", "content": "Well."},
        {"role": "user", "content": "q1"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [made_call(), made_call(call_id="c2")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r2"},
        {"role": "tool", "tool_call_id": "c2", "content": "r2"},
    ]


@pytest.mark.parametrize("cut", [made_call('{"path": "a'), made_call("[]"), made_call("{}", None)])
def test_a_call_that_was_cut_off_is_left_out(cut):
    conversation = Conversation(SCRIPT)
    conversation.begin_turn()
    assert not conversation.end_turn(Answer(content="I look", calls={0: cut}))
    assert conversation.messages[-1] == {"role": "assistant", "content": "I look"}
    conversation.begin_turn()
    assert conversation.messages[-1] == {"role": "user", "content": "q1"}
