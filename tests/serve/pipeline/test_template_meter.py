"""The meter of a rendering: what it counts, and what it refuses before it is made."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import pytest
from jinja2.utils import Namespace

from serve.pipeline.template_meter import (
    MAX_DEPTH,
    MAX_HEAVY_CHARS,
    MAX_INTEGER_BITS,
    MAX_PRODUCT,
    Bounds,
    Meter,
    TemplateBoundError,
    current,
    metering,
    num_chars,
)

SMALL = Bounds(steps=10_000, value_chars=1000, made_chars=2000, seconds=5.0)


@pytest.fixture
def meter() -> Meter:
    return Meter(SMALL)


def test_steps_are_counted_to_the_bound_and_not_beyond(meter: Meter) -> None:
    for _ in range(SMALL.steps):
        meter.tick()
    with pytest.raises(TemplateBoundError, match="takes more than 10,000 steps"):
        meter.tick()


def test_the_clock_is_looked_at_every_few_thousand_steps() -> None:
    now = [0.0]
    meter = Meter(SMALL, clock=lambda: now[0])
    now[0] = 6.0
    meter.tick(4096)
    with pytest.raises(TemplateBoundError, match="takes longer than 5 seconds"):
        meter.tick()


def test_a_value_is_asked_for_before_it_is_made(meter: Meter) -> None:
    meter.room(1000)
    assert meter.made_chars == 0
    with pytest.raises(TemplateBoundError, match="a value of 1,001 characters, at most 1,000"):
        meter.room(1001)
    meter.add(1000)
    meter.add(1000)
    with pytest.raises(TemplateBoundError, match="makes more than 2,000 characters"):
        meter.room(1)


@pytest.mark.parametrize(
    ("value", "num"), [("abc", 51), (b"abc", 51), ([1, 2], 80), ((), 48), ({"a": 1}, 64), (None, 0)]
)
def test_what_was_made_is_counted_without_what_it_holds(meter: Meter, value: Any, num: int) -> None:
    assert meter.made(value) is value
    assert meter.made_chars == num


def test_a_number_may_be_long_and_not_longer(meter: Meter) -> None:
    meter.integer(2**MAX_INTEGER_BITS - 1)
    with pytest.raises(TemplateBoundError, match="a number of 4,097 bits, at most 4,096"):
        meter.made(-(2**MAX_INTEGER_BITS))


def test_work_in_pythons_own_loops_is_asked_for(meter: Meter) -> None:
    with pytest.raises(TemplateBoundError, match="in a way that compares each with each"):
        meter.product(MAX_PRODUCT, 2)
    with pytest.raises(TemplateBoundError, match="gives a text of 65,537 characters"):
        meter.heavy(MAX_HEAVY_CHARS + 1)
    meter.product(1 << 10, 4)
    meter.heavy(3)
    assert meter.steps == 4 + 3


def test_items_are_steps_as_they_come(meter: Meter) -> None:
    given = meter.each(iter(["a", [1], "b"]))
    assert (next(given), meter.steps) == ("a", 1)
    assert [*given] == [[1], "b"]
    assert (meter.steps, meter.made_chars) == (3, 64)


@pytest.mark.parametrize(
    ("value", "least"),
    [
        ("x" * 300, 300),
        (["x" * 300] * 3, 900),
        ({"k" * 300: "v" * 300}, 600),
        ({"k" * 300: 1}.keys(), 300),
        (Namespace(a="x" * 300), 300),
        (UserDict({"a": "x" * 300}), 300),
        (range(500), 500),
        (10**600, 600),
    ],
)
def test_a_value_weighs_all_that_it_holds(meter: Meter, value: Any, least: int) -> None:
    assert least <= meter.weigh(value) <= least + 100


def test_what_weighs_too_much_or_lies_too_deep_is_not_walked_through(meter: Meter) -> None:
    doubled: list[Any] = ["x"]
    for _ in range(40):  # 2**40 items, and 40 lists
        doubled = [doubled, doubled]
    with pytest.raises(TemplateBoundError, match="walks through a value of more than 1,000"):
        meter.weigh(doubled)
    nested: list[Any] = []
    for _ in range(MAX_DEPTH):
        nested = [nested]
    with pytest.raises(TemplateBoundError, match="more than 100 levels deep"):
        meter.weigh(nested)
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(TemplateBoundError, match="more than 100 levels deep"):
        meter.weigh(itself)


def test_the_meter_of_a_rendering_is_the_current_one_within_it(meter: Meter) -> None:
    other = Meter(SMALL)
    with metering(meter):
        assert current() is meter
        with metering(other):
            assert current() is other
        assert current() is meter
    assert current() not in (meter, other)


def test_bounds_grow_with_the_messages() -> None:
    one, more = Bounds.of(0), Bounds.of(1000)
    assert more.steps - one.steps == 100_000
    assert more.value_chars - one.value_chars == 16_000
    assert more.made_chars == 8 * more.value_chars


def test_characters_of_messages_are_those_of_names_too_and_one_for_each_item() -> None:
    assert num_chars([{"role": "user", "content": "hello"}, ["ab", 3, None]]) == 2 + 2 + 20 + 3 + 2
