"""Operators, builtins and methods: what they give, and what is too large or not known."""

from __future__ import annotations

import ast

import pytest

from benchmarks.quality.python_operations import (
    Refused,
    bounded,
    call_builtin,
    call_method,
    operated,
    operator_of,
)


@pytest.mark.parametrize("value", ["a" * 2000, [0] * 2000, 2**4095, -(2**4095), 1e300, None, True])
def test_what_is_within_its_bounds_stays_as_it_is(value) -> None:
    assert bounded(value) is value


@pytest.mark.parametrize("value", ["a" * 2001, [0] * 2001, (0,) * 2001, 2**4096])
def test_what_is_too_large_is_refused(value) -> None:
    with pytest.raises(Refused, match="too large"):
        bounded(value)


@pytest.mark.parametrize(
    ("op", "left", "right", "result"),
    [
        (ast.FloorDiv(), 7, 2, 3),
        (ast.Mod(), -7, 3, 2),
        (ast.Mult(), "ab", 3, "ababab"),
        (ast.Mult(), 3, [1], [1, 1, 1]),
        (ast.Mult(), 1e200, 1e10, 1e210),
        (ast.Pow(), 2, 10, 1024),
        (ast.Pow(), 2, -1, 0.5),
    ],
)
def test_operators_mean_what_python_means(op, left, right, result) -> None:
    assert operated(op, left, right) == result


@pytest.mark.parametrize(
    ("op", "left", "right"),
    [
        (ast.Mult(), "ab", 1001),
        (ast.Mult(), 10**9, [0]),
        (ast.Pow(), 9, 10**9),
        (ast.Mod(), "%s", 1),
        (ast.LShift(), 1, 10**9),
        (ast.MatMult(), 1, 1),
    ],
)
def test_results_that_would_be_huge_are_refused_before_they_are_made(op, left, right) -> None:
    with pytest.raises(Refused):
        operated(op, left, right)


def test_an_operator_that_is_not_listed_is_refused_by_name() -> None:
    assert operator_of(ast.NotIn())(1, [2])
    with pytest.raises(Refused, match="Invert"):
        operator_of(ast.Invert())


def test_iterators_of_builtins_become_lists() -> None:
    assert call_builtin("zip", [[1, 2], "ab"], {}) == [(1, "a"), (2, "b")]
    assert call_builtin("sorted", [[1, 3]], {"reverse": True}) == [3, 1]
    assert call_builtin("print", ["x"], {}) is None
    assert list(call_builtin("range", [3], {})) == [0, 1, 2]


@pytest.mark.parametrize("name", ["eval", "open", "getattr", "map", "__import__"])
def test_a_builtin_that_is_not_listed_is_refused(name) -> None:
    with pytest.raises(Refused, match="such a call"):
        call_builtin(name, [], {})


def test_a_range_that_counts_too_far_is_refused() -> None:
    call_builtin("range", [0, 10_000], {})
    with pytest.raises(Refused, match="too far"):
        call_builtin("range", [0, -10_001, -1], {})


def test_a_type_has_its_own_methods_alone() -> None:
    assert call_method({"a": 1}, "items", [], {}) == [("a", 1)]
    assert call_method("a b", "split", [], {}) == ["a", "b"]
    for holder, name in (("x", "format"), ((), "append"), (1, "bit_length"), ([], "__len__")):
        with pytest.raises(Refused, match=f"a method {name}"):
            call_method(holder, name, [], {})
