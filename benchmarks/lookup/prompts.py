"""Edits of a text of some 400 tokens, and chats that have nothing to copy."""

from __future__ import annotations

from collections.abc import Mapping

_CODE = '''from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reading:
    """One measurement of a sensor."""

    sensor: str
    seconds: float
    celsius: float


class ReadingError(Exception):
    """A line of the file is no reading."""


def read_file(path: Path) -> list[Reading]:
    """All readings of a file, in its order.

    Raises:
        ReadingError: a line has too few fields, or one that is no number.
    """
    readings = []
    with path.open(newline="") as lines:
        for number, fields in enumerate(csv.reader(lines), start=1):
            if not fields or fields[0].startswith("#"):
                continue
            if len(fields) < 3:
                raise ReadingError(f"line {number}: {len(fields)} fields, 3 are needed")
            try:
                reading = Reading(fields[0], float(fields[1]), float(fields[2]))
            except ValueError as error:
                raise ReadingError(f"line {number}: {error}") from None
            readings.append(reading)
    return readings


def mean_by_sensor(readings: list[Reading]) -> dict[str, float]:
    """The mean temperature of each sensor."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for reading in readings:
        sums[reading.sensor] = sums.get(reading.sensor, 0.0) + reading.celsius
        counts[reading.sensor] = counts.get(reading.sensor, 0) + 1
    return {sensor: sums[sensor] / counts[sensor] for sensor in sums}


def warmest(readings: list[Reading]) -> Reading | None:
    """The warmest reading; None where there is none."""
    return max(readings, key=lambda reading: reading.celsius, default=None)
'''

_TEXT = """\
The harbour of Brennholm lies at the end of a narrow fjord, and for most of its history the only
way to reach it was by water. Fishing boats left before dawn and came back in the late afternoon,
when the whole town gathered on the quay to help with the unloading. The catch was sorted on long
wooden tables, salted, and packed into barrels that went south twice a month on the mail steamer.
Children learned to tie knots before they learned to write, and every family kept a lantern in the
window on stormy nights. In 1911 a road was blasted through the rock above the town. It took four
years and cost the lives of seven men, whose names are cut into a stone at the first bend. The
road changed everything. Merchants arrived with carts of flour and cloth, young people left for
the factories in the city, and the mail steamer came only once a month, then not at all. By the
middle of the century half of the wooden tables had been broken up for firewood. Yet the town did
not die. A painter who had come for a summer stayed for thirty years, and his pictures of the quay
at dusk brought others who wanted to see it for themselves. Today the old salt house is a museum,
the lanterns are lit again each autumn, and on the first Sunday of September the last three
fishing boats leave before dawn, as they always did, while the whole town stands on the quay and
waits for them to come back with whatever the fjord has been willing to give them. Visitors are
asked to bring warm clothes, for the wind comes straight from the sea, and to leave the benches by
the water to those who are waiting for somebody on the boats."""

EDITS: Mapping[str, str] = {
    "code": "Rename the class `Reading` to `Sample` in this code. Answer with the whole code and "
    f"nothing else.\n\n```python\n{_CODE}```",
    "text": "Replace the name Brennholm by Nordvik in this text. Answer with the whole text and "
    f"nothing else.\n\n{_TEXT}",
}

CHATS: Mapping[str, str] = {
    "explain": "Explain how a hash table works.",
    "story": "Write a short story about a lighthouse keeper.",
    "code": "Write a Python function that merges two sorted lists, with tests.",
    "recipe": "How do I make sourdough bread?",
    "mail": "Write an email that declines a job offer politely.",
    "plan": "Give me a plan for learning Spanish in three months.",
}
