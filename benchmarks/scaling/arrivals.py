"""A day's requests: made up with the shape of an office's day, or read from a file."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks import json_lines

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request: its time in seconds of the day, and the tokens of its answer."""

    at_s: float
    tokens: int


def office_rate(at_s: float, *, peak: float) -> float:
    """Requests per second at that time of a working day.

    Peaks at 10:30 and 15:00, less at lunch, next to nobody before 6:00 and after 21:00.
    """
    hour = at_s / 3600
    humps = max(
        math.exp(-(((hour - 10.5) / 1.4) ** 2)),
        math.exp(-(((hour - 15.0) / 1.8) ** 2)),
    )
    return peak * humps


def office_day(*, peak: float, mean_tokens: int, seed: int) -> list[Request]:
    """A Poisson process with that rate (Lewis and Shedler's thinning), answers of geometric length.

    Args:
        peak: requests per second at the busiest time.
        mean_tokens: of an answer.
    """
    chance = random.Random(seed)
    at = 0.0
    requests: list[Request] = []
    while True:
        at += chance.expovariate(peak)
        if at >= DAY_S:
            return requests
        if chance.random() < office_rate(at, peak=peak) / peak:
            tokens = 1 + int(chance.expovariate(1 / mean_tokens))
            requests.append(Request(at_s=at, tokens=tokens))


def read(path: Path) -> list[Request]:
    """Requests of a JSON Lines file: {"at_s": seconds, "tokens": of the answer}, in any order.

    Raises:
        ValueError: it cannot be read, or a line is not such an object; it names the line.
    """
    requests = []
    for number, row in json_lines.rows(path):
        try:
            request = Request(at_s=float(row["at_s"]), tokens=int(row["tokens"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f'{path}, line {number}: {{"at_s": SECONDS, "tokens": COUNT}} is needed ({error})'
            ) from None
        if request.at_s < 0 or request.tokens < 1:
            raise ValueError(f"{path}, line {number}: at_s is at least 0 and tokens at least 1")
        requests.append(request)
    if not requests:
        raise ValueError(f"{path} holds no request")
    return sorted(requests, key=lambda request: request.at_s)
