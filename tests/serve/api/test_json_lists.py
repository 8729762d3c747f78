"""JSON that grows: the same bytes as if it were encoded at once, in pieces that are small."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.api.json_lists import PIECE_BYTES, JsonLists, in_pieces

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4)), max_size=6))
def test_any_way_of_adding_gives_the_same_json(parts: list[tuple[list[Any], list[Any]]]) -> None:
    lists = JsonLists({"a": [], "none": None, "b": [], "number": 7})
    for first, second in parts:
        lists.add({"a": first, "none": None, "b": second, "number": 7})
    whole = {
        "a": [item for first, _ in parts for item in first],
        "none": None,
        "b": [item for _, second in parts for item in second],
        "number": 7,
    }
    assert b"".join(lists.pieces()) == orjson.dumps(whole)


def test_a_long_list_comes_in_small_pieces() -> None:
    lists = JsonLists({"a": []})
    for _ in range(40):
        lists.add({"a": ["x" * 10_000]})
    pieces = list(lists.pieces())
    assert max(map(len, pieces)) == PIECE_BYTES
    assert orjson.loads(b"".join(pieces)) == {"a": ["x" * 10_000] * 40}


@pytest.mark.parametrize(
    "sizes",
    [[], [0], [1], [PIECE_BYTES], [PIECE_BYTES - 1, 2], [5] * 20_000, [200_000]],
)
def test_pieces_are_all_of_one_size_but_the_last(sizes: list[int]) -> None:
    parts = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    pieces = list(in_pieces(parts))
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) == PIECE_BYTES for piece in pieces[:-1])
    assert all(pieces)
