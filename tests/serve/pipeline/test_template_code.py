"""Generated code: what it says to the meter of blocks, literals, comparisons, slices and keys."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import TemplateSyntaxError

from serve.pipeline import template_environment
from serve.pipeline.template_meter import Bounds, Meter, TemplateBoundError, metering

ROOMY = Bounds(steps=10**9, value_chars=10**9, made_chars=10**12, seconds=60.0)
LONG = "x" * 4096


def cost(source: str, bounds: Bounds = ROOMY, **given: Any) -> Meter:
    """The meter after a whole rendering."""
    meter = Meter(bounds)
    made = template_environment.compile_template(source)
    with metering(meter):
        made.render(given)
    return meter


def more(source: str, other: str, **given: Any) -> tuple[int, int]:
    """Steps and characters that the one costs more than the other."""
    one, two = cost(source, **given), cost(other, **given)
    return one.steps - two.steps, one.made_chars - two.made_chars


def test_a_turn_of_a_loop_is_a_block() -> None:
    loop = "{% for item in items %}{% endfor %}"
    assert more(loop, loop + "", items=[1])[0] == 0
    steps = [cost(loop, items=[None] * count).steps for count in (0, 1, 11)]
    assert (steps[2] - steps[1]) == 10 * (steps[1] - steps[0])
    assert steps[1] > steps[0]


def test_items_that_a_loop_leaves_out_are_turns_too() -> None:
    loop = "{% for item in items if item %}{% endfor %}"
    assert cost(loop, items=[0] * 11).steps - cost(loop, items=[0]).steps == 10


@pytest.mark.parametrize(
    ("literal", "num_chars"),
    [("[1, 2, 3]", 96), ("(1, 2, 3)", 96), ("{'a': 1, 'b': 2}", 80), ("long[:9]", 57)],
)
def test_a_literal_and_a_slice_are_made(literal: str, num_chars: int) -> None:
    assert more("{% set x = " + literal + " %}", "{% set x = 1 %}", long=LONG)[1] == num_chars


def test_names_that_are_unpacked_are_nothing_that_is_made() -> None:
    assert more("{% set a, b = pair %}", "{% set a = pair %}", pair=(1, 2))[1] == 0


def test_what_is_compared_is_weighed_unless_one_of_it_is_a_constant() -> None:
    plain = "{% set x = long %}"
    assert more("{% set x = long == long %}", plain, long=LONG)[0] == 8
    assert more("{% set x = long in [long] %}", plain, long=LONG)[0] >= 8
    assert more("{% set x = long == 'user' %}", plain, long=LONG)[0] == 0
    assert more("{% set x = long in ('a', 'b') %}", plain, long=LONG)[0] == 4


def test_a_tuple_is_weighed_before_it_is_a_key() -> None:
    deep: Any = ()
    for _ in range(200):
        deep = (deep,)
    for source in ("{{ table[deep] }}", "{% set x = {deep: 1} %}"):
        with pytest.raises(TemplateBoundError, match="levels deep"):
            cost(source, table={}, deep=deep)


def test_texts_that_are_joined_are_asked_for_first() -> None:
    assert more("{% set x = long ~ long %}", "{% set x = long %}", long=LONG)[1] == 2 * len(LONG)
    small = Bounds(steps=10**6, value_chars=5000, made_chars=10**6, seconds=60.0)
    with pytest.raises(TemplateBoundError, match="asks for a value of 8,192 characters"):
        cost("{% set x = long ~ long %}", small, long=LONG)


def test_a_prompt_is_no_html() -> None:
    with pytest.raises(TemplateSyntaxError, match="autoescape is not supported"):
        template_environment.environment().from_string("{% autoescape true %}x{% endautoescape %}")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ [1, (2, 3), {'a': 4}] }}", "[1, (2, 3), {'a': 4}]"),
        ("{{ 1 < 2 <= 2 }}{{ 'a' in 'abc' }}{{ 3 not in [1] }}", "TrueTrueTrue"),
        ("{{ {'a': 1}['a'] }}{{ 'abcd'[1:3] }}{{ [1, 2, 3][::-1] }}", "1bc[3, 2, 1]"),
        ("{{ 'a' ~ 1 ~ none }}", "a1None"),
        ("{% for a, b in [(1, 2)] if a %}{{ b }}{% else %}no{% endfor %}", "2"),
    ],
)
def test_what_is_rendered_stays_the_same(source: str, text: str) -> None:
    assert template_environment.compile_template(source).render() == text
