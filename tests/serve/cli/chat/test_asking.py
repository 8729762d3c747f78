"""What of a question and its answer stays in the conversation."""

from __future__ import annotations

import json

import pytest

from serve.cli.chat.asking import Parameters, ask
from serve.cli.chat.conversation import Conversation
from serve.cli.chat.display import NoDisplay
from serve.cli.chat.server import AskError, Server
from tests.serve.cli.chat.stand_in import USAGE, Reply, refusal, standing_in


class Impatient(NoDisplay):
    """A display whose user presses Ctrl-C at once."""

    def add(self, part: str) -> None:
        raise KeyboardInterrupt


class Odd(Server):
    """A server of events that another kind of server might send."""

    def __init__(self, *events: object) -> None:
        self._events = events

    def events(self, body: object):  # type: ignore[no-untyped-def,override]
        yield from self._events


@pytest.mark.parametrize(
    "failure",
    [
        refusal(503, "The queue is full."),
        Reply(["Half"], tail=b'data: {"error": {"message": "x"}}\n'),
    ],
)
def test_a_question_that_failed_may_be_asked_again(failure: Reply) -> None:
    conversation = Conversation()
    with standing_in(failure, Reply(["Whole."])) as stand_in, Server(stand_in.url, None) as server:
        with pytest.raises(AskError):
            ask(server, Parameters(model="demo"), conversation, "Why?", NoDisplay())
        assert conversation.messages == []
        answer = ask(server, Parameters(model="demo"), conversation, "Why?", NoDisplay())
        assert len(stand_in.bodies[1]["messages"]) == 1
    assert (answer.text, answer.usage, answer.finish_reason) == ("Whole.", USAGE, "stop")
    assert [m["content"] for m in conversation.messages] == ["Why?", "Whole."]


def test_what_came_of_a_stopped_answer_stays() -> None:
    conversation = Conversation()
    reply = Reply(["Half", " of it"], hangs=True)
    with standing_in(reply) as stand_in, Server(stand_in.url, None) as server:
        answer = ask(server, Parameters(model="demo"), conversation, "Why?", Impatient())
        assert stand_in.was_left.wait(30), "the connection is closed, so the server stops"
    assert answer.was_stopped
    assert [m["content"] for m in conversation.messages] == ["Why?", "Half"]


def test_without_a_word_of_an_answer_the_question_is_not_kept() -> None:
    class Interrupted(Odd):
        def events(self, body: object):  # type: ignore[no-untyped-def,override]
            raise KeyboardInterrupt
            yield

    conversation = Conversation()
    assert ask(Interrupted(), Parameters(model="m"), conversation, "Why?", NoDisplay()).was_stopped
    assert conversation.messages == []


def test_events_of_other_kinds_are_passed_over() -> None:
    odd = Odd(
        *({}, {"choices": None}, {"choices": []}, {"choices": [7]}, {"choices": [{"delta": None}]}),
        *({"choices": [{"delta": {"content": None}}]}, {"choices": [{"delta": {"content": 7}}]}),
        *({"usage": 7}, {"choices": [{"finish_reason": 7}]}),
        {"choices": [{"delta": {"content": "x"}}]},
    )
    answer = ask(odd, Parameters(model="m"), Conversation(), "Why?", NoDisplay())
    assert json.dumps(answer.as_json()["answer"]) == '"x"'
    assert (answer.usage, answer.finish_reason) == (None, None)
