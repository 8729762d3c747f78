"""Numbers of a configuration, and how a message shows a value."""

from __future__ import annotations

from typing import Any

import pytest

from models.rules.numbers import is_number, is_positive, shown


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, True, False, [1], {}])
def test_what_is_no_number(value: Any) -> None:
    assert not is_number(value)
    assert not is_positive(value)


def test_numbers_above_0() -> None:
    assert [value for value in (-1, -0.0, 0, 1e-9, 1, 2**70) if is_positive(value)] == [
        1e-9,
        1,
        2**70,
    ]
    assert all(map(is_number, (-1, 0, 0.5)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), ("x", "'x'"), (1.5, "1.5"), ("x" * 99, "'" + "x" * 59)],
    ids=str,
)
def test_a_value_as_a_message_shows_it(value: Any, text: str) -> None:
    assert shown(value) == text
