"""Works of one kind, done together: one call for all that share a transaction.

A statement costs much the same for one request as for fifty. So works that do the same for many
callers say so, and those of a group are handed to their function at once (transactions.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Together(Generic[Item, Result]):
    """A work on one item, which may be done together with those of the same function.

    Attributes:
        do: does it for all items, in their order, and returns a result for each; where one of them
            cannot be done it raises, and each is done alone.
        item: this work's.
    """

    do: Callable[[Connection, Sequence[Item]], Sequence[Result]]
    item: Item

    def __call__(self, connection: Connection) -> Result:
        return self.do(connection, [self.item])[0]
