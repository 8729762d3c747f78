"""What is to be copied stands in the question, and the answer is exactly that."""

from __future__ import annotations

import random
from unittest import mock

import pytest

from models.demo import corpus_copying
from models.demo.conversation import Turn, load

WORDS = ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("repeat", "red green blue"),
        ("first", "red"),
        ("last", "blue"),
        ("twice", "red green blue red green blue"),
    ],
)
def test_each_task_has_its_answer(task: str, answer: str) -> None:
    with (
        mock.patch.object(corpus_copying, "_words", return_value=WORDS),
        mock.patch.dict(corpus_copying.TASKS, {"train": (task,)}),
    ):
        turn = corpus_copying.turn(random.Random(1))
    assert (turn.answer, turn.expect) == (answer, {"text": answer})
    assert "red green blue" in turn.question


@pytest.mark.parametrize("frames", ["train", "held_out"])
def test_a_question_uses_the_phrasings_of_its_list_alone(frames: str) -> None:
    table = load("copying")
    tasks = ("repeat", "first", "last", "twice")
    starts = [frame.split("{x}")[0] for task in tasks for frame in table[task][frames]]
    rng = random.Random(2)
    for _ in range(100):
        question = corpus_copying.turn(rng, frames).question
        assert any(question.startswith(start) for start in starts)


def test_a_name_is_remembered_across_other_turns() -> None:
    between = [Turn("plain", "Hello?", "Hi."), Turn("plain", "And?", "Yes.")]
    talk = corpus_copying.name_conversation(random.Random(3), between)
    (name,) = talk.expect["terms"]
    assert len(talk.messages) == 8
    assert name in talk.messages[0]["content"]
    assert name in talk.messages[-1]["content"]
    assert name not in talk.questions()[-1]
    assert [m["content"] for m in talk.messages[2:6]] == ["Hello?", "Hi.", "And?", "Yes."]


def test_no_turns_make_no_messages() -> None:
    assert corpus_copying.as_messages([]) == []
