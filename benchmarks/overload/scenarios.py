"""The scenarios: a flood from one tenant, ten times the load for a minute, clients that retry.

Each is a coroutine that asks a server that is there and gives figures as plain JSON.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.overload.asking import Question, ask, at_times, in_turn

Figures = dict[str, Any]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of them lies; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def peak(question: Question, num_streams: int, seconds: float) -> float:
    """Whole answers a second with so many clients, each of which asks as soon as it is answered."""
    begun_at = time.monotonic()
    runs = await asyncio.gather(*(in_turn(question, seconds) for _ in range(num_streams)))
    ends = [o.sent_at + o.e2e_s for run in runs for o in run if o.is_whole]
    return sum(end <= begun_at + seconds for end in ends) / seconds


async def flood(
    questions: Sequence[Question], rate: float, seconds: float, times: float
) -> Figures:
    """The first tenant asks at so many times its share, the others at theirs.

    Args:
        rate: requests a second of all tenants together, each at its share.
        times: of its share, that the first one asks.
    """
    share = rate / len(questions)
    report: Figures = {"tenants": len(questions), "share_per_s": share, "times": times}
    for name, first in (("absent", 0.0), ("at_its_share", 1.0), ("flood", times)):
        rates = [share * first, *[share] * (len(questions) - 1)]
        source = random.Random(1)  # the others ask at the same times in each run
        plans = [_poisson(source, share, seconds) for _ in questions]
        plans[0] = _poisson(random.Random(2), rates[0], seconds)
        runs = await asyncio.gather(
            *(at_times(one, plan) for one, plan in zip(questions, plans, strict=True))
        )
        others = [outcome for run in runs[1:] for outcome in run]
        ttft = [o.ttft_s for o in others if o.ttft_s is not None]
        answered = [sum(o.is_whole for o in run) / max(1, len(run)) for run in runs[1:]]
        report[name] = {
            "others_ttft_p50_s": percentile(ttft, 0.5),
            "others_ttft_p99_s": percentile(ttft, 0.99),
            "others_answered": sum(o.is_whole for o in others) / len(others),
            "least_answered_of_a_tenant": min(answered),
            "first_answered_per_s": sum(o.is_whole for o in runs[0]) / seconds,
        }
        await asyncio.sleep(3)
    return report


async def overload(
    question: Question, capacity: float, seconds: float, times: float, queue_bound: int
) -> Figures:
    """Ask at so many times the capacity, and look how it recovers."""
    before = await _calm(question)
    count = int(capacity * times * seconds)
    alone_s = (await ask(question)).e2e_s
    begun_at = time.monotonic()
    ended_at = begun_at + seconds
    outcomes, recovered_s = await asyncio.gather(
        at_times(question, [i / (capacity * times) for i in range(count)]),
        _recovery(question, before, ended_at),
    )
    admitted = [o for o in outcomes if o.status == 200]
    refused = [o.e2e_s for o in outcomes if o.status == 503]
    # Nothing can end before the first answer is made: the window begins and ends so much later.
    since, until = begun_at + alone_s, ended_at + alone_s
    whole = [o for o in outcomes if o.is_whole and since < o.sent_at + o.e2e_s <= until]
    bound_s = queue_bound / capacity
    return {
        "capacity_per_s": capacity,
        "sent": len(outcomes),
        "admitted": len(admitted),
        "refused": len(refused),
        "other": len(outcomes) - len(admitted) - len(refused),
        "admitted_ttft_p99_s": percentile([o.ttft_s or o.e2e_s for o in admitted], 0.99),
        "bound_over_capacity_s": bound_s,
        "ttft_over_bound": percentile([o.ttft_s or o.e2e_s for o in admitted], 0.99) / bound_s,
        "goodput_over_peak": len(whole) / seconds / capacity,
        "refusals_p50_s": percentile(refused, 0.5),
        "refusals_p99_s": percentile(refused, 0.99),
        "ttft_before_s": before,
        "normal_after_s": recovered_s,
    }


async def _calm(question: Question) -> float:
    """Median time to the first token of one request after another."""
    outcomes = [await ask(question) for _ in range(10)]
    return percentile([o.ttft_s or o.e2e_s for o in outcomes], 0.5)


async def _recovery(question: Question, before_s: float, ended_at: float) -> float:
    """Seconds after the overload until three requests in a row begin as quickly as before."""
    await asyncio.sleep(max(0.0, ended_at - time.monotonic()))
    quick: list[float] = []
    while len(quick) < 3 and time.monotonic() < ended_at + 120:
        outcome = await ask(replace(question, max_tokens=1))
        is_quick = outcome.is_whole and (outcome.ttft_s or 1e9) <= 2 * before_s + 0.02
        quick = [*quick, outcome.sent_at] if is_quick else []
        await asyncio.sleep(0.1)
    return quick[0] - ended_at if len(quick) == 3 else float("inf")


def _poisson(source: random.Random, rate: float, seconds: float) -> list[float]:
    """Times of arrivals that know nothing of each other."""
    times: list[float] = []
    at = 0.0
    while rate > 0 and (at := at + source.expovariate(rate)) < seconds:
        times.append(at)
    return times
