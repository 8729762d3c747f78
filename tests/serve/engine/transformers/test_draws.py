"""Draws are those of the seed, whether or not somebody looked ahead."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from serve.engine.transformers.draws import Draws


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.lists(st.integers(0, 9), max_size=20))
def test_a_look_ahead_makes_no_draw(seed: int, looks: list[int]) -> None:
    plain, looked = Draws(seed), Draws(seed)
    for index in looks:
        ahead = looked.peek(index)
        assert looked.peek(index) == ahead
        assert looked.draw() == plain.draw()
        if index:
            assert looked.peek(index - 1) == ahead


def test_a_seed_is_python_s_and_its_negative_another() -> None:
    assert Draws(7).draw() == random.Random(7).random()
    assert Draws(7).draw() != Draws(-7).draw()
    assert Draws(None).draw() != Draws(None).draw()
