"""Folders by number: the same number is the same folder."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.models.folders import whole
from tests.models.hostile import configs, files, tensors
from tests.models.hostile.shape import Shape

SHAPES: list[Shape] = [*configs.SHAPES, *tensors.SHAPES, *files.SHAPES]
_TURNS = [shape for shape in SHAPES for _ in range(shape.weight)]


def light(num: int) -> list[int]:
    """The first numbers whose folders take no seconds."""
    numbers = (number for number in itertools.count() if not shape_of(number).is_heavy)
    return list(itertools.islice(numbers, num))


def shape_of(number: int) -> Shape:
    """Every shape has come once before any comes a second time."""
    return SHAPES[number] if number < len(SHAPES) else Random(number).choice(_TURNS)


@contextmanager
def folder(place: Path, number: int) -> Iterator[Path]:
    """The hostile folder of this number, and nothing is left of it afterwards."""
    path = whole(place / f"m{number}")
    (path / "config.json").write_text(json.dumps(configs.WHOLE))
    shape_of(number).put(path, Random(number))
    try:
        yield path
    finally:
        # Deeper than rmtree goes in Python 3.11.
        subprocess.run(["rm", "-rf", str(path)], check=True)
