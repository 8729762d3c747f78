"""Sweeps find a known capacity, in simulated time."""

from __future__ import annotations

import pytest

from benchmarks.metrics.request import Targets
from benchmarks.serving import walk
from benchmarks.serving.load import Level
from benchmarks.serving.measuring import Book, sweep_closed, sweep_open
from benchmarks.serving.watch import ClientLoad
from benchmarks.trace import Trace
from tests.benchmarks.serving.simulated import CLIENT, NONE, SimulatedServer, book

FIRST = Level(count=1, rate=4.0)
BOUNDS = {"num_requests": None, "most_levels": 20, "most_s": 120.0}


def swept(
    server: SimulatedServer, seed: int, first: Level = FIRST, targets: Targets = NONE
) -> Book:
    made = book(server, seed, targets)
    sweep_open(made, first, **BOUNDS)
    return made


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("slots", "answer_s"), [(16, 0.32), (4, 0.5), (64, 2.0)])
def test_a_sweep_finds_a_known_capacity_within_a_tenth(seed, slots, answer_s) -> None:
    server = SimulatedServer(slots=slots, answer_s=answer_s)
    found = walk.capacity(swept(server, seed).rows)
    assert found.answers_s == pytest.approx(server.capacity_s, rel=0.1)
    assert found.kept_up is not None
    assert found.saturated is not None
    assert walk.rate_of(found.saturated) / walk.rate_of(found.kept_up) <= walk.NEAR


def test_a_few_requests_at_a_low_rate_are_not_called_saturated() -> None:
    """The last of 32 answers ends 10 s after the first request, as if 3.2/s were answered."""
    made = book(SimulatedServer(slots=64, answer_s=2.0))
    rows = [made.take(Level(count=32, rate=4.0 + n / 100), is_long=False) for n in range(20)]
    assert sum((row.median("requests_s") or 0.0) < 3.6 for row in rows) > 5
    assert all(map(walk.keeps_up, rows))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sweep_that_begins_too_high_goes_down(seed: int) -> None:
    server = SimulatedServer()
    made = swept(server, seed, Level(count=1, rate=200.0))
    assert walk.capacity(made.rows).answers_s == pytest.approx(server.capacity_s, rel=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_refusals_are_not_answers(seed: int) -> None:
    server = SimulatedServer(queue=8)
    made = swept(server, seed)
    assert walk.capacity(made.rows).answers_s == pytest.approx(server.capacity_s, rel=0.1)


def test_with_targets_the_highest_rate_that_meets_them_is_looked_for() -> None:
    server = SimulatedServer()
    made = swept(server, 0, targets=Targets(ttft_s=0.021))
    met, not_met = walk.bracket(made.rows, walk.meets)
    assert met is not None
    assert not_met is not None
    assert walk.keeps_up(not_met), "the targets end before the capacity does"
    assert walk.rate_of(not_met) / walk.rate_of(met) <= walk.NEAR


@pytest.mark.parametrize(("slots", "first"), [(16, 1), (12, 1), (16, 3)])
def test_a_closed_loop_doubles_until_it_brings_no_more(slots: int, first: int) -> None:
    server = SimulatedServer(slots=slots)
    made = book(server)
    bounds = {"num_requests": None, "most_levels": 12}
    sweep_closed(made, Level(count=1, concurrency=first), **bounds)
    assert walk.capacity(made.rows).answers_s == pytest.approx(server.capacity_s, rel=0.05)
    assert made.rows[-1].facts["offered_concurrency"] <= 4 * slots


def test_every_level_and_round_has_a_seed_of_its_own_and_the_same_in_the_next_run() -> None:
    def seeds(seed: int) -> list[int | str]:
        server = SimulatedServer()
        made = book(server, seed)
        made.rounds = 2
        sweep_open(made, FIRST, **BOUNDS)
        return [level.seed for level in server.levels]

    assert seeds(1) == seeds(1)
    assert len(set(seeds(1))) == len(seeds(1))
    assert not set(seeds(1)) & set(seeds(2))


def test_levels_are_bounded_and_it_says_so() -> None:
    made = book(SimulatedServer())
    sweep_open(made, FIRST, num_requests=None, most_levels=2, most_s=120.0)
    assert len(made.rows) == 2
    assert "not finished after 2 levels" in made.notes[-1]


def test_own_errors_are_told_apart_from_the_servers() -> None:
    def send(_: Level) -> tuple[list[Trace], ClientLoad]:
        own = Trace(sent_at=0.0, finished_at=1.0, error="no file left", is_own_error=True)
        theirs = Trace(sent_at=0.5, finished_at=1.0, error="status 500: oh", status=500)
        return [own, theirs], CLIENT

    made = book(SimulatedServer())
    made.send = send
    row = made.take(Level(count=2, rate=1.0))
    assert (row.median("own_error_share"), row.median("error_share")) == (0.5, 0.5)
    assert any("status 500" in note and "TRUST" not in note for note in made.notes)
    assert any("DO NOT TRUST, 1 of 2 requests failed by the load" in note for note in made.notes)
