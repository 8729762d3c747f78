"""The number of guesses that are worth their rows, from what they have cost and brought so far.

A sequence has a credit, in steps of its own: each guess costs the share of a step that its row
takes, each right one brings the step that is not needed any more. The credit never falls below 0,
and where guesses bring nothing it only grows by ``_EARNED`` a step: so they never cost a sequence
more than half a step and that share of all others. Nothing here reads a clock.
"""

from __future__ import annotations

ROW_COST = 0.14
"""What a row adds to a step of one where rows come by fours: docs/lab-notes.md has the table."""

_FOUR = 4
"""Rows that the compiled loops take at a time: two guesses cost more than three."""
_FEWEST = _FOUR - 1
_FIRST_CREDIT = 0.5
_MOST_CREDIT = 4.0
_EARNED = 1 / 128
_PROVEN = 1.0
_LEAST_MATCHED, _LEAST_MATCHED_AT_FIRST = 2, 4


def price(num_running: int) -> float:
    """A guess's cost, in steps of its own sequence, where so many sequences are decoded.

    A step of B rows says B tokens and takes 1 + c (B - 1): a row more costs c of it, and each
    sequence's token is a B-th of it.
    """
    return ROW_COST * num_running / (1 + ROW_COST * (num_running - 1))


class LookupControl:
    """One sequence's. ``most``, then ``learn`` if there was a guess, once for each step.

    Args:
        most_guesses: in one step.
    """

    __slots__ = ("_credit", "_length", "_most_guesses", "_price")

    def __init__(self, most_guesses: int) -> None:
        self._most_guesses = most_guesses
        self._credit = _FIRST_CREDIT
        self._length = _FEWEST
        self._price = price(1)

    def most(self, num_running: int) -> int:
        """Guesses that this step may make; each call counts as a step."""
        self._credit = min(_MOST_CREDIT, self._credit + _EARNED)
        self._price = price(num_running)
        affordable = int(self._credit / self._price)
        if num_running == 1 and affordable < min(_FEWEST, self._most_guesses):
            return 0
        return min(self._length, self._most_guesses, affordable)

    @property
    def least_matched(self) -> int:
        """Last tokens that have to stand before what is guessed: more, until guesses have paid."""
        return _LEAST_MATCHED if self._credit >= _PROVEN else _LEAST_MATCHED_AT_FIRST

    def learn(self, num_guesses: int, num_right: int) -> None:
        """Take in how many of the step's guesses were right."""
        self._credit += num_right - num_guesses * self._price
        wanted = num_right + 2 if num_right < num_guesses else 2 * num_right + 1
        # With the token before them whole fours.
        self._length = (wanted + _FOUR) // _FOUR * _FOUR - 1
