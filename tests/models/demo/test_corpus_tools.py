"""Dialogues with tools: arguments from the question, results in the answer, in OpenAI's form."""

from __future__ import annotations

import json
import random

import pytest

from models.demo import corpus_sums, corpus_tools
from models.demo.conversation import load
from models.demo.graders import grade

NAMES = list(load("tools"))


@pytest.mark.parametrize("name", NAMES)
def test_an_exchange_calls_the_tool_and_tells_its_result(name: str) -> None:
    rng = random.Random(name)
    for _ in range(20):
        messages, chosen, terms = corpus_tools.exchange(rng, name, "train")
        assert [m["role"] for m in messages] == ["user", "assistant", "tool", "assistant"]
        call = messages[1]["tool_calls"][0]
        assert json.loads(call["function"]["arguments"]) == chosen
        assert call["id"] == messages[2]["tool_call_id"]
        assert grade(messages[3]["content"], {"terms": terms}), messages


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_declares_its_arguments(name: str) -> None:
    tool = load("tools")[name]
    function = corpus_tools.schema(random.Random(1), name)["function"]
    properties = function["parameters"]["properties"]
    assert function["name"] == name
    assert set(properties) == set(tool["arguments"])
    for key, kind in tool["arguments"].items():
        assert (properties[key]["type"] in {"integer", "number"}) == (kind == "number")


def test_sums_never_use_a_pair_that_is_held_out() -> None:
    rng = random.Random(2)
    pairs = [corpus_tools.arguments(rng, "add") for _ in range(500)]
    assert not any(corpus_sums.is_held_out(p["a"], p["b"], "+") for p in pairs)


def test_the_tool_that_is_needed_is_offered_once_among_others() -> None:
    rng = random.Random(3)
    offers = [
        [tool["function"]["name"] for tool in corpus_tools.offered(rng, "add")] for _ in range(50)
    ]
    assert all(names.count("add") == 1 and len(set(names)) == len(names) for names in offers)
    assert {len(names) for names in offers} == {1, 2, 3}
    assert any(names[0] != "add" for names in offers)


def test_a_call_has_no_text_and_keeps_letters_as_they_are() -> None:
    message = corpus_tools.call_message("get_weather", {"city": "Zürich"})
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["arguments"] == '{"city": "Zürich"}'


def test_a_conversation_ends_with_the_call_or_with_what_it_gave() -> None:
    rng = random.Random(4)
    lengths = {"tool call": 2, "tool result": 4}
    talks = [corpus_tools.conversation(rng) for _ in range(100)]
    assert {talk.category for talk in talks} == set(lengths)
    assert all(len(talk.messages) == lengths[talk.category] for talk in talks)
