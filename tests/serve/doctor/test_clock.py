from __future__ import annotations

from collections.abc import Iterator

import pytest

from serve.doctor import clock
from serve.doctor.finding import Finding

NOW = clock.EARLIEST.timestamp() + 86_400


def look(*, is_kept: bool | None = True, walls: tuple[float, ...] = (NOW, NOW, NOW)) -> Finding:
    told: Iterator[float] = iter(walls)
    return clock.clock(lambda: is_kept, lambda: next(told), lambda: 0.0, lambda _s: None)


@pytest.mark.parametrize("is_kept", [True, None])
def test_a_clock_that_is_right(is_kept: bool | None) -> None:
    assert look(is_kept=is_kept).level == "ok"


def test_a_clock_that_nobody_keeps() -> None:
    found = look(is_kept=False)
    assert found.level == "warning"
    assert "chrony" in found.advice


def test_a_clock_of_another_year() -> None:
    assert look(walls=(0.0, 0.0, 0.0)).level == "failure"


@pytest.mark.parametrize("jump", [-3600.0, 0.2])
def test_a_clock_that_jumps(jump: float) -> None:
    found = look(walls=(NOW, NOW, NOW + jump))
    assert found.level == "warning"
    assert f"{jump:+.3f} s" in found.told


def test_the_kernel_is_asked_and_its_clock_left_alone() -> None:
    assert clock.is_kept() in {True, False, None}
