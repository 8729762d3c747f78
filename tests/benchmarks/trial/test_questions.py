"""Questions have answers that count, and the story has no number in it."""

from __future__ import annotations

import itertools
import re

import pytest

from benchmarks.trial import questions
from benchmarks.trial.questions import NUMBER, QUESTIONS, filler

RIGHT = {
    "english: capital": "It is PARIS.",
    "english: sum": "Five, of course.",
    "english: colour": "Blue",
    "english: code": "def add(a, b): return a+b",
    "chinese: language": "北京是一座历史悠久的城市。",
    "chinese: capital": "北京。",
    "chinese: year": "十二个月",
    "chinese: thanks": "Thank you",
}
WRONG = {
    "english: capital": "Comparison",
    "english: sum": "55",
    "english: colour": "blueish",
    "english: code": "def add(a, b): return a - b",
    "chinese: language": "Beijing 北京 is a city",
    "chinese: capital": "上海",
    "chinese: year": "365",
    "chinese: thanks": "please",
}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_right_answer_counts_and_a_near_one_does_not(question) -> None:
    assert question.is_answered_by(RIGHT[question.name])
    assert not question.is_answered_by(WRONG[question.name])
    assert not question.is_answered_by("")


def test_no_question_gives_its_own_answer_away() -> None:
    """Chinese is asked for in Chinese, so that one cannot be held to it."""
    for question in QUESTIONS:
        if question.name != "chinese: language":
            assert not question.is_answered_by(question.chat), question.name
    assert len({question.name for question in QUESTIONS}) == len(QUESTIONS)


def test_the_fact_is_said_once_and_only_at_the_beginning() -> None:
    assert questions.FACT.count(NUMBER) == 1
    for text in (filler(200), questions.LONG_QUESTION, questions.LONG_ENDING):
        assert not re.search(r"\d", text)


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_a_story_has_so_many_sentences_and_no_two_in_a_row_are_alike(count) -> None:
    sentences = [each for each in filler(count).split(". ") if each]
    assert len(sentences) == count
    assert all(one != other for one, other in itertools.pairwise(sentences))


def test_the_tool_that_is_asked_for_is_among_the_tools() -> None:
    (tool,) = questions.TOOLS
    assert questions.TOOL_QUESTION.is_answered_by(tool["function"]["name"])


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_what_is_said_is_a_sentence_and_what_is_continued_is_none(question) -> None:
    ends = ("?", "？", ".", "。", "!")
    assert question.chat.endswith(ends)
    assert not question.text.endswith(ends)
