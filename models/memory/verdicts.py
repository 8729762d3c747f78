"""Whether a model fits this machine's memory, as it is and at the usual schemes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.errors import FitError, UnknownShapeError
from models.memory import fit
from models.memory.fit import Request
from models.memory.this_machine import Room
from models.refs import QuantScheme, Scheme

FIRST = (QuantScheme.NONE, QuantScheme.INT8, QuantScheme.INT4)
"""Full weights, and what ``--quant`` is mostly asked for."""


class Answer(StrEnum):
    """The answer to "does it fit?"."""

    YES = "yes"
    SHORT = "short"  # one sequence does, of fewer tokens than the model's context
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer for one scheme, and what it rests on.

    Attributes:
        weights_bytes: of the weights on the device.
        longest_context: tokens of one sequence; 0 where none fits.
    """

    answer: Answer
    weights_bytes: int
    longest_context: int


def verdicts(request: Request, stored: Scheme, room: Room) -> Mapping[Scheme, Verdict] | None:
    """The verdict of each scheme that these weights can be served in; None where sizes are unknown.

    Args:
        request: the model.
        stored: its folder's scheme. Of full weights others can be made, of others nothing.
        room: the memory.
    """
    schemes: Sequence[Scheme] = FIRST if stored is QuantScheme.NONE else (stored,)
    try:
        return {scheme: _verdict(request, scheme, room) for scheme in schemes}
    except (UnknownShapeError, FitError):
        return None


def _verdict(request: Request, scheme: Scheme, room: Room) -> Verdict:
    result = fit.fit(request, scheme, room.place, room.num_bytes)
    answer = Answer.SHORT if result.longest_context else Answer.NO
    if result.longest_context >= result.weights.context:
        answer = Answer.YES
    return Verdict(
        answer=answer,
        weights_bytes=result.weights.weights_bytes,
        longest_context=result.longest_context,
    )
