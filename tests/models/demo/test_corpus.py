"""The generator: every category is there, answers fit their expectations, noise stays apart."""

from __future__ import annotations

import json
import random
from functools import cache
from itertools import pairwise

import pytest

from models.demo import corpus, corpus_product, noise
from models.demo.conversation import Conversation
from models.demo.graders import grade


@cache
def sample() -> tuple[Conversation, ...]:
    return tuple(corpus.shard(1, "late", 4000))


def test_every_category_is_there() -> None:
    found = {c.category for c in sample()}
    assert found == {
        *("sums", "copying", "product", "json", "plain", "smalltalk"),
        *("tool call", "tool result"),
    }


def test_some_have_a_system_prompt_some_several_turns_some_chinese() -> None:
    assert any(c.messages[0]["role"] == "system" for c in sample())
    assert any(len(c.questions()) >= 4 for c in sample())
    assert any(noise.HAN.search(q) for c in sample() for q in c.questions())


def test_roles_alternate_and_the_assistant_has_the_last_word() -> None:
    for each in sample():
        roles = [m["role"] for m in each.messages if m["role"] != "system"]
        assert roles[0::2] == ["user" if r != "tool" else "tool" for r in roles[0::2]]
        assert set(roles[1::2]) == {"assistant"}
        assert roles[-1] == "assistant"


def test_calls_copy_their_arguments_from_the_question() -> None:
    calls = [c for c in sample() if c.category == "tool call"]
    for each in calls:
        call = each.messages[-1]["tool_calls"][0]["function"]
        values = json.loads(call["arguments"]).values()
        assert all(str(v).lower() in each.messages[-2]["content"].lower() for v in values)
        assert call["name"] in [t["function"]["name"] for t in each.tools or []]
    assert len(calls) > 100


@pytest.mark.parametrize("name", list(corpus.TURNS))
def test_a_right_answer_passes_its_grader(name: str) -> None:
    rng = random.Random(5)
    turns = [corpus.TURNS[name](rng) for _ in range(300)]
    assert all(grade(t.answer, t.expect) for t in turns)


def test_an_answer_to_another_question_fails() -> None:
    rng = random.Random(6)
    product = [corpus_product.turn(rng) for _ in range(200)]
    pairs = [(a, b) for a, b in pairwise(product) if a.answer != b.answer]
    wrong = sum(not grade(a.answer, b.expect) for a, b in pairs)
    assert wrong > 0.9 * len(pairs)  # a few answers do hold what another question asks


def test_a_shard_is_the_same_every_time() -> None:
    assert corpus.shard(3, "main", 500) == corpus.shard(3, "main", 500)
    assert corpus.shard(3, "main", 500) != corpus.shard(4, "main", 500)
