"""Rows lose only what is too long, documents are whole, and only the assistant is learned from."""

from __future__ import annotations

import numpy as np
import pytest

from models.demo import corpus, packing
from models.demo import tokenizer as words
from models.demo.conversation import Conversation
from tests.models.demo.tiny import LENGTH, tokenizer

START, END = (1, 2), 9


def talk(question: str, answer: str = "Yo") -> Conversation:
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return Conversation("plain", messages)


def test_only_the_assistants_tokens_are_learned() -> None:
    text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>"
    ids = tokenizer().encode(text).ids
    start = tuple(tokenizer().encode("<|im_start|>assistant\n").ids)
    vocabulary = tokenizer().get_vocab()
    marks = packing.predicts(ids, start, vocabulary[words.END])
    said = [ids[i + 1] for i, marked in enumerate(marks) if marked]
    assert tokenizer().decode(said, skip_special_tokens=False) == "Yo<|im_end|>"


@pytest.mark.parametrize(
    ("ids", "marked"),
    [
        ([], []),
        ([1], []),
        ([5, 1, 2], [2]),  # nothing said yet: what follows is the assistant's all the same
        ([1, 2, 9], [1]),  # an empty answer is learned to end at once
        ([1, 2, 5, 9, 6, 1, 2, 7, 9], [1, 2, 6, 7]),
        ([5, 9, 6], []),
    ],
)
def test_marks_begin_at_the_turn_and_end_before_its_end(ids: list[int], marked: list[int]) -> None:
    marks = packing.predicts(ids, START, END)
    assert len(marks) == len(ids)
    assert [place for place, is_marked in enumerate(marks) if is_marked] == marked


def test_packing_loses_only_what_is_too_long() -> None:
    made = corpus.shard(0, "main", 80)
    rows = packing.pack(made, tokenizer(), LENGTH, "s")
    short = [t for t in (tokenizer().encode(words.render(c)).ids for c in made) if len(t) <= 193]
    assert (rows.positions[rows.documents >= 0] == 0).sum() == len(short)


def test_a_document_of_the_rows_length_fits_and_a_longer_one_is_left_out() -> None:
    num_tokens = len(tokenizer().encode(words.render(talk("Hi")).removesuffix("\n")).ids)
    assert len(packing.pack([talk("Hi")], tokenizer(), num_tokens, "s")) == 1
    assert len(packing.pack([talk("Hi")], tokenizer(), num_tokens - 1, "s")) == 0


def test_positions_begin_anew_with_each_document_and_padding_is_in_none() -> None:
    rows = packing.pack([talk("One"), talk("Two")], tokenizer(), LENGTH, "s")
    assert len(rows) == 1
    for document in (0, 1):
        positions = rows.positions[0][rows.documents[0] == document]
        assert positions.tolist() == list(range(len(positions)))
    padding = rows.documents[0] == -1
    assert not rows.predicts[0][padding].any()
    assert set(rows.ids[0][padding]) == {tokenizer().get_vocab()[words.PAD]}


def test_the_seed_orders_the_rows_and_changes_nothing_else() -> None:
    made = corpus.shard(0, "main", 80)
    one, same, other = (packing.pack(made, tokenizer(), LENGTH, s) for s in ("a", "a", "b"))
    assert np.array_equal(one.ids, same.ids)
    assert not np.array_equal(one.ids, other.ids)
    assert sorted(map(tuple, one.ids)) == sorted(map(tuple, other.ids))
