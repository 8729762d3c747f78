from __future__ import annotations

from serve.observe.startup import Startup


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def test_phases_with_progress_and_eta():
    clock = Clock()
    startup = Startup(clock=clock)
    assert startup.snapshot() == {"status": "starting", "phases": []}
    startup("load_weights", 0, 400)
    clock.now = 12.0
    startup("load_weights", 100, 400)
    (phase,) = startup.snapshot()["phases"]
    assert (phase["done"], phase["total"]) == (100, 400)
    assert (phase["duration_s"], phase["eta_s"], phase["is_finished"]) == (2.0, 6.0, False)


def test_a_new_phase_ends_the_one_before():
    clock = Clock()
    startup = Startup(clock=clock)
    startup("load_weights", 1, 4)
    clock.now = 11.0
    startup("warm_up", 0, 2)
    clock.now = 15.0
    first, second = startup.snapshot()["phases"]
    assert (first["is_finished"], first["done"], first["duration_s"]) == (True, 4, 1.0)
    assert (second["is_finished"], second["eta_s"]) == (False, None)


def test_completion_and_failure():
    startup = Startup(clock=Clock())
    startup("warm_up", 1, 2)
    startup.complete()
    assert startup.snapshot()["status"] == "started"
    assert startup.snapshot()["phases"][0]["is_finished"]
    startup.fail("no memory")
    assert startup.snapshot()["status"] == "failed"
