"""Conversations to packed rows of tokens of a fixed length.

A row holds several documents. A document is never split: it always starts at position 0, and one
that is longer than a row is left out.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.demo import tokenizer as words
from models.demo.conversation import Conversation

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Packed rows; every array is [R, T]."""

    ids: Ints
    documents: Ints
    positions: Ints
    predicts: NDArray[np.bool_]  # whether the token after this one is the assistant's

    def __len__(self) -> int:
        return int(self.ids.shape[0])


def predicts(ids: list[int], start: tuple[int, ...], end: int) -> list[bool]:
    """Mark the tokens whose successor the assistant says, the end of its turn included."""
    marks = [False] * len(ids)
    inside = False
    for i in range(len(start) - 1, len(ids)):
        if tuple(ids[i - len(start) + 1 : i + 1]) == start:
            inside = True
        elif ids[i] == end:
            inside = False
        marks[i] = inside
    return marks


def pack(conversations: list[Conversation], tokenizer: Tokenizer, length: int, seed: str) -> Rows:
    """Pack by best fit and shuffle the rows; the result depends on the arguments alone."""
    texts = [words.render(c).removesuffix("\n") for c in conversations]
    encoded = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    start = tuple(tokenizer.encode(f"{words.START}assistant\n").ids)
    end, pad = (tokenizer.get_vocab()[t] for t in (words.END, words.PAD))
    open_rows: list[tuple[int, int]] = []  # (room left, row)
    rows: list[list[list[int]]] = []
    for ids in encoded:
        if len(ids) > length:
            continue
        at = bisect_left(open_rows, (len(ids), -1))
        if at == len(open_rows):
            rows.append([])
            room, row = length, len(rows) - 1
        else:
            room, row = open_rows.pop(at)
        rows[row].append(ids)
        if room - len(ids) >= 16:
            insort(open_rows, (room - len(ids), row))
            if len(open_rows) > 256:
                open_rows.pop(0)
    random.Random(seed).shuffle(rows)
    return _fill(rows, length, pad, start, end)


def _fill(
    rows: list[list[list[int]]], length: int, pad: int, start: tuple[int, ...], end: int
) -> Rows:
    shape = (len(rows), length)
    ids = np.full(shape, pad, dtype=np.int64)
    documents = np.full(shape, -1, dtype=np.int64)
    positions = np.zeros(shape, dtype=np.int64)
    marks = np.zeros(shape, dtype=np.bool_)
    for r, row in enumerate(rows):
        at = 0
        for d, document in enumerate(row):
            here = slice(at, at + len(document))
            ids[r, here] = document
            documents[r, here] = d
            positions[r, here] = np.arange(len(document))
            marks[r, here] = predicts(document, start, end)
            at += len(document)
    return Rows(ids, documents, positions, marks)
