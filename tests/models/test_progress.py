from __future__ import annotations

import io
import json
import threading

import pytest

from models import progress
from models.progress import (
    Counter,
    Display,
    JsonLines,
    Lines,
    Progress,
    Snapshot,
    duration,
    shown,
    size,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    interval_s = 0.0

    def __init__(self) -> None:
        self.seen: list[Snapshot] = []
        self.notices: list[str] = []

    def show(self, snapshot: Snapshot) -> None:
        self.seen.append(snapshot)

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_rate_and_time_left_count_only_what_this_run_did():
    view, clock = Recorder(), Clock()
    meter = Progress(view, clock=clock)
    meter.phase("fetch", 1000, done_bytes=400)
    clock.now += 2
    meter.advance(200)
    first, second = view.seen
    assert (first.done_bytes, first.eta_s, first.rate_bytes_per_s) == (400, None, 0)
    assert (second.done_bytes, second.rate_bytes_per_s, second.eta_s) == (600, 100.0, 4.0)


def test_the_rate_is_that_of_the_last_seconds():
    view, clock = Recorder(), Clock()
    meter = Progress(view, clock=clock)
    meter.phase("fetch", 10_000)
    for _ in range(10):
        clock.now += 1
        meter.advance(500)
    for _ in range(20):
        clock.now += 1
        meter.advance(10)
    assert view.seen[-1].rate_bytes_per_s == pytest.approx(10)


def test_bytes_that_must_be_done_again_are_taken_back():
    view = Recorder()
    meter = Progress(view, clock=Clock())
    meter.phase("fetch", 100)
    meter.advance(60)
    meter.advance(-60)
    assert view.seen[-1].done_bytes == 0
    assert view.seen[-1].rate_bytes_per_s == 0


def test_a_view_is_not_called_more_often_than_it_asks_but_always_at_the_end():
    view, clock = Recorder(), Clock()
    view.interval_s = 5.0
    meter = Progress(view, clock=clock)
    meter.phase("fetch", 100)
    for _ in range(100):
        clock.now += 0.125
        meter.advance(1)
    assert [snapshot.done_bytes for snapshot in view.seen] == [0, 40, 80, 100]


def test_a_counter_tells_any_callback_the_sum():
    calls = []
    counter = Counter(lambda *call: calls.append(call))
    counter.phase("verify", 10)
    counter.advance(4)
    counter.advance(-1)
    counter.phase("commit")
    assert calls == [("verify", 0, 10), ("verify", 4, 10), ("verify", 3, 10), ("commit", 0, 0)]


def test_what_an_engine_tells_can_be_shown():
    """It counts by itself: tensors loaded, or steps."""
    view, clock = Recorder(), Clock()
    display = Display(view, clock=clock)
    for done in range(0, 5, 2):
        display("warm_up", done, 4)
        clock.now += 1
    assert [(seen.done_bytes, seen.eta_s) for seen in view.seen] == [(0, None), (2, 1.0), (4, 0.0)]


def test_a_phase_that_begins_again_has_a_rate_of_its_own():
    view, clock = Recorder(), Clock()
    meter = Progress(view, clock=clock)
    for num_bytes in (100, 10):
        meter.phase("compare", 100)
        clock.now += 1
        meter.advance(num_bytes)
    assert [seen.rate_bytes_per_s for seen in view.seen] == [0, 100, 0, 10]


def test_a_phase_that_counts_nothing_is_shown_each_time_it_begins():
    view = Recorder()
    view.interval_s = float("inf")
    meter = Progress(view, clock=Clock())
    meter.phase("resolve")
    meter.phase("resolve")
    assert [str(seen) for seen in view.seen] == ["resolve ...", "resolve ..."]


def test_threads_lose_no_bytes():
    view = Recorder()
    meter = Progress(view)
    meter.phase("fetch", 8000)
    threads = [
        threading.Thread(target=lambda: [meter.advance(1) for _ in range(1000)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert view.seen[-1].done_bytes == 8000


def test_json_lines():
    out = io.StringIO()
    with shown(as_json=True, stream=out) as meter:
        meter.phase("fetch", 10)
        meter.notice("careful")
        meter.advance(10)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["progress", "notice", "progress"]
    assert lines[0] | {"eta_s": None} == {
        "event": "progress",
        "phase": "fetch",
        "done_bytes": 0,
        "total_bytes": 10,
        "rate_bytes_per_s": 0,
        "eta_s": None,
    }
    assert lines[1]["message"] == "careful"
    assert lines[2]["done_bytes"] == 10


def test_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    with shown(stream=out) as meter:
        meter.phase("resolve")
        meter.phase("fetch", 2_500_000)
    assert out.getvalue().splitlines() == ["resolve ...", "fetch   0%  0 B of 2.5 MB"]


def test_one_live_line_on_a_terminal():
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Tty()
    with shown(stream=out) as meter:
        meter.phase("fetch", 100)
        meter.advance(100)
        meter.notice("above the line")
    assert "above the line" in out.getvalue()


def test_views_are_views():
    for view in (Lines(io.StringIO()), JsonLines(io.StringIO()), progress.Silent()):
        Progress(view).phase("x")


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (15_200, "15 kB"), (4.2e9, "4.2 GB"), (3e12, "3.00 TB")],
)
def test_sizes(num_bytes, text):
    assert size(num_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
