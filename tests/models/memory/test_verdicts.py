"""A verdict is what `fit` says of the same memory, in one word."""

from __future__ import annotations

import pytest

from models.memory import fit, shapes
from models.memory.fit import Place, Request
from models.memory.this_machine import Room
from models.memory.verdicts import FIRST, Answer, verdicts
from models.refs import QuantScheme

GB = 10**9
QWEN = Request(config=shapes.published()["qwen2-7b"])


@pytest.mark.parametrize(
    ("num_bytes", "answers"),
    [
        (9 * GB, [Answer.NO, Answer.NO, Answer.SHORT]),
        (11 * GB, [Answer.NO, Answer.SHORT, Answer.YES]),
        (24 * GB, [Answer.YES, Answer.YES, Answer.YES]),
        (GB, [Answer.NO, Answer.NO, Answer.NO]),
    ],
)
def test_full_weights_can_be_made_smaller(num_bytes: int, answers: list[Answer]) -> None:
    found = verdicts(QWEN, QuantScheme.NONE, Room(place=Place.GPU, num_bytes=num_bytes))
    assert found is not None
    assert list(found) == list(FIRST)
    assert [verdict.answer for verdict in found.values()] == answers
    for scheme, verdict in found.items():
        made = fit.fit(QWEN, scheme, Place.GPU, num_bytes)
        assert verdict.longest_context == made.longest_context
        assert verdict.weights_bytes == made.weights.weights_bytes


def test_quantised_weights_stay_what_they_are() -> None:
    found = verdicts(QWEN, QuantScheme.INT8, Room(place=Place.GPU, num_bytes=24 * GB))
    assert found is not None
    assert list(found) == [QuantScheme.INT8]


def test_a_family_of_unknown_shape_has_no_verdict() -> None:
    unknown = Request(config={"model_type": "mamba"})
    assert verdicts(unknown, QuantScheme.NONE, Room(place=Place.CPU, num_bytes=GB)) is None
