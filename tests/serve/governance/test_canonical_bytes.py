"""Canonical bytes are equal where values and types are, and nowhere else."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.governance.canonical_bytes import canonical

SCALARS = st.sampled_from([None, True, False, 0, 1, 10**20, 0.0, 1.0, 1e20, "", "1", "a:", "é"])
LISTS = st.lists(SCALARS, max_size=3)
JSON = SCALARS | LISTS | st.dictionaries(st.sampled_from("ab1"), LISTS | SCALARS, max_size=2)


@dataclass
class One:
    a: Any = None
    b: Any = None


@dataclass
class Two:
    a: Any = None
    b: Any = None


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, -(2**63), 0.0, -0.0, 1.0, 1e300, float("inf")),
    *("", "1", "None", "\ud800", "é", b"", b"1", [], [[]], [1], [True], [1.0], ["1"], [1, 2], [12]),
    *([[1], [2]], [[1, 2]], {}, {"a": 1}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {1: "a"}, {"1": "a"}),
    *(frozenset(), frozenset({1}), frozenset({1, 2}), [2**63], [2**63 - 1]),
    *(One(), Two(), One(1), One(b=1), One(One()), One([1, "a"]), ["s1:a"], ["s", "1:a"]),
]


def test_different_values_differ() -> None:
    for first, second in itertools.combinations(VALUES, 2):
        assert canonical(first) != canonical(second), (first, second)


def spelt(value: Any) -> str:
    """A value with its types, in Python's own words."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{spelt(k)}:{spelt(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spelt, value)) + "]"
    return f"{type(value).__name__} {value!r}"


@given(JSON, JSON)
def test_equal_bytes_are_equal_values(first: Any, second: Any) -> None:
    assert (canonical(first) == canonical(second)) == (spelt(first) == spelt(second))


def test_a_set_has_no_order_and_a_field_may_be_left_out() -> None:
    assert canonical(frozenset(range(50))) == canonical(frozenset(reversed(range(50))))
    assert canonical([One(1, 2)], {"b"}) == canonical([One(1, 3)], {"b"})
    assert canonical((1, "a")) == canonical([1, "a"])


def test_what_it_does_not_know_is_refused() -> None:
    for value in (object(), [object()], One, 1j):
        with pytest.raises(TypeError, match="no canonical bytes"):
            canonical(value)
