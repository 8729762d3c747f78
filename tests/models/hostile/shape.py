"""One named kind of hostile folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True, slots=True)
class Shape:
    """A way to spoil a folder that was whole.

    Attributes:
        name: for the test's name.
        put: spoils the folder, as the generator chooses.
        weight: how often it is among the folders.
        is_refused: whether the folder must be refused whatever was chosen; else it may also pass.
        is_heavy: whether it takes seconds to make, or to go through to its bound.
    """

    name: str
    put: Callable[[Path, Random], None]
    weight: int = 1
    is_refused: bool = True
    is_heavy: bool = False
