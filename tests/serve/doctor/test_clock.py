from __future__ import annotations

from collections.abc import Iterator

import pytest

from serve.doctor import clock
from serve.doctor.finding import Finding

NOW = clock.EARLIEST.timestamp() + 86_400


def look(*, kept: bool | None = True, walls: tuple[float, ...] = (NOW, NOW, NOW)) -> Finding:
    times: Iterator[float] = iter(walls)
    return clock.clock(lambda: kept, lambda: next(times), lambda: 0.0, lambda _s: None)


@pytest.mark.parametrize("is_synchronised", [True, None])
def test_a_clock_that_is_right(is_synchronised: bool | None) -> None:
    assert look(kept=is_synchronised).level == "ok"


def test_a_clock_that_nobody_keeps() -> None:
    found = look(kept=False)
    assert found.level == "warning"
    assert "chrony" in found.advice


def test_a_clock_of_another_year() -> None:
    assert look(walls=(0.0, 0.0, 0.0)).level == "failure"


@pytest.mark.parametrize("jump", [-3600.0, 0.2])
def test_a_clock_that_jumps(jump: float) -> None:
    found = look(walls=(NOW, NOW, NOW + jump))
    assert found.level == "warning"
    assert f"{jump:+.3f} s" in found.summary


def test_the_kernel_is_asked_and_its_clock_left_alone() -> None:
    assert clock.is_synchronised() in {True, False, None}
