"""The evaluation is apart from the corpus: no phrasing, no question and no pair is in both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from models.demo import corpus, corpus_sums
from models.demo.conversation import Conversation, load, normalise
from models.demo.corpus_product import facts
from models.demo.evaluate import read_items

SHARDS = (("start", 0), ("main", 5), ("late", 9))


@cache
def sample() -> tuple[Conversation, ...]:
    """Shards that training really used; the others come from the same code with other numbers."""
    return tuple(c for mix, number in SHARDS for c in corpus.shard(number, mix))


def evaluation_questions() -> Iterator[str]:
    for item in read_items():
        yield from (m["content"] for m in item["messages"] if m["role"] == "user")


def test_no_question_of_the_evaluation_is_asked_in_the_corpus() -> None:
    held_out = {normalise(q) for q in evaluation_questions()}
    asked = {normalise(q) for c in sample() for q in c.questions()}
    assert len(asked) > 10_000
    assert not held_out & asked


def test_no_fact_phrasing_is_both_trained_and_held_out() -> None:
    trained = {normalise(q) for f in facts() for q in f.train}
    held_out = [normalise(q) for f in facts() for q in f.held_out]
    assert not trained.intersection(held_out)
    assert len(facts()) >= 40


def frames(part: str) -> Iterator[str]:
    """The phrasings with places to fill in, of every category."""
    for name in ("plain", "copying", "tools", "sums", "smalltalk", "product_frames"):
        yield from (normalise(f) for table in load(name).values() for f in table[part])
    for name in ("frames", "sentences"):
        yield from (normalise(f) for f in load("objects")[name][part])
    yield from (normalise(f) for f in load("systems")[part])


def test_no_template_is_both_trained_and_held_out() -> None:
    both = set(frames("train")) & set(frames("held_out"))
    assert not both


def pairs_asked(texts: Iterator[str]) -> set[tuple[int, int, str]]:
    """Sums and differences found in questions, as (smaller, larger, operation)."""
    minus = re.compile(r" ?- ?|minus|减|subtract|take .* away", re.IGNORECASE)
    found = set()
    for text in texts:
        numbers = [int(n) for n in re.findall(r"\d+", text)]
        if len(numbers) == 2:
            op = "-" if minus.search(text) else "+"
            found.add((min(numbers), max(numbers), op))
    return found


def sums_of(conversations: tuple[Conversation, ...]) -> Iterator[str]:
    """Answers of the form "a + b = c." and arguments of add(), wherever they are."""
    for each in conversations:
        for message in each.messages:
            text = message["content"] or ""
            if re.fullmatch(r"\d+ [+-] \d+ = -?\d+\.", text):
                yield text.split("=")[0]
            for call in message.get("tool_calls", ()):
                if call["function"]["name"] == "add":
                    yield call["function"]["arguments"]


def test_no_pair_of_the_evaluation_is_in_the_corpus_in_either_order() -> None:
    trained = pairs_asked(sums_of(sample()))
    held_out = pairs_asked(
        m["content"]
        for item in read_items()
        if item["category"] == "sums"
        for m in item["messages"]
        if m["role"] == "user"
    )
    assert len(trained) > 5_000
    assert len(held_out) > 60
    assert all(corpus_sums.is_held_out(*pair) for pair in held_out)
    assert not any(corpus_sums.is_held_out(*pair) for pair in trained)
    assert not trained & held_out


def test_the_sums_of_the_corpus_are_right() -> None:
    checked = 0
    for each in sample():
        for message in each.messages:
            sum_ = re.fullmatch(r"(\d+) ([+-]) (\d+) = (-?\d+)\.", message["content"] or "")
            if sum_:
                a, op, b, value = sum_.groups()
                assert int(value) == corpus_sums.result(int(a), int(b), op)
                checked += 1
    assert checked > 10_000
