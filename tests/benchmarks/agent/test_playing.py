"""Two conversations on a stub: in turn, with the model's answers kept, and counted."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from benchmarks.agent import playing
from benchmarks.agent.asking import AskError
from benchmarks.agent.playing import Player, Rules
from benchmarks.agent.scripts import Script, Turn
from benchmarks.agent.tools import TOOLS
from models import store
from serve.pipeline.render import Renderer
from tests.benchmarks.agent.stub import Stub, call

SCRIPTS = [
    Script(name, f"You are {name}.", (), tuple(Turn(f"q{n}", f"r{n}") for n in range(3)))
    for name in ("Ada", "Boole")
]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer.load(store.DEMO_WEIGHTS)


def played(stub: Stub, renderer: Renderer, monkeypatch, rules: Rules, **more: object) -> list:
    stub.take_over(monkeypatch)
    with closing(Player("http://stub", renderer, rules, **more)) as player:
        player.warm_up()
        return list(player.play(SCRIPTS))


def test_turns_alternate_and_keep_what_the_model_answered(renderer, monkeypatch):
    stub = Stub(lambda body: [{"content": f"{len(body['messages'])} messages"}])
    turns = played(stub, renderer, monkeypatch, Rules(max_tokens=9))
    assert [(turn.conversation, turn.number) for turn in turns] == [
        (name, number) for number in (1, 2, 3) for name in ("Ada", "Boole")
    ]
    last = stub.asked[-1]
    assert (last["model"], last["temperature"], last["max_tokens"]) == ("m", 0, 9)
    assert [message["content"] for message in last["messages"]] == [
        *("You are Boole.", "q0", "2 messages", "q1", "4 messages", "q2")
    ]
    assert stub.asked[0]["max_tokens"] == 2  # the warm-up


def test_what_is_not_told_is_counted_here(renderer, monkeypatch):
    told = iter([None, *range(6)])
    stub = Stub(lambda _: [{"content": "a"}, {"content": "b"}])
    turns = played(stub, renderer, monkeypatch, Rules(), told=lambda: next(told))
    assert [turn.cached_tokens for turn in turns] == [*range(6)]
    assert all(turn.completion_tokens == 2 for turn in turns)
    for turn in turns:
        assert turn.prompt_tokens == len(turn.prompt_ids)
    # The prompt of a turn begins with that of the turn before, and has its answer.
    first, second = turns[0].prompt_ids, turns[2].prompt_ids
    assert second[: len(first)] == first
    assert len(second) > len(first)


def test_what_is_told_is_taken(renderer, monkeypatch):
    stub = Stub(lambda _: [{"content": "a"}])
    stub.usage = lambda _: {
        "prompt_tokens": 70,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    turn = played(stub, renderer, monkeypatch, Rules(has_token_ids=True), told=lambda: 1)[0]
    assert (turn.prompt_tokens, turn.completion_tokens, turn.cached_tokens) == (70, 5, 64)
    assert stub.asked[1]["return_token_ids"] is True


def test_calls_are_answered(renderer, monkeypatch):
    stub = Stub(lambda body: call("read", '{"path": "a"}') if len(body["messages"]) == 2 else [])
    turns = played(stub, renderer, monkeypatch, Rules())
    assert [turn.num_calls for turn in turns] == [1, 1, 0, 0, 0, 0]
    assert stub.asked[3]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_read",
        "content": "r1",
    }


@pytest.mark.parametrize("has_required_calls", [True, False])
def test_a_question_asks_for_a_call_and_an_output_does_not(
    renderer, monkeypatch, has_required_calls
):
    stub = Stub(lambda body: call("read", "{}") if body["messages"][-1]["role"] == "user" else [])
    with_tools = replace(SCRIPTS[0], tools=TOOLS[:1])
    monkeypatch.setattr(Player, "_rendered", lambda *_: [1])  # the demo's template may have none
    stub.take_over(monkeypatch)
    with closing(
        Player("http://stub", renderer, Rules(has_required_calls=has_required_calls))
    ) as player:
        assert [turn.num_calls for turn in player.play([with_tools])] == [1, 0, 1]
    choices = [body.get("tool_choice") for body in stub.asked]
    assert choices == (["required", None, "required"] if has_required_calls else [None] * 3)
    assert all(body["tools"] == [TOOLS[0]] for body in stub.asked)


def test_a_server_without_models(renderer, monkeypatch):
    client = httpx.Client
    empty = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": []}))
    monkeypatch.setattr(playing.httpx, "Client", lambda **_: client(transport=empty))
    with pytest.raises(AskError, match="/v1/models"):
        Player("http://stub", renderer, Rules()).warm_up()
