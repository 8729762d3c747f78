"""Charts of load: which there are, and how their axes are scaled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from benchmarks.report import load_plots
from tests.benchmarks.documents import level_row

ROWS = [level_row("poisson 1/s", 1.0), level_row("poisson 2/s", 2.0)]


def test_titles_name_the_server_where_there_are_several() -> None:
    alone = [title for title, _ in load_plots.charts(ROWS)]
    both = [*ROWS, *(replace(row, system="other") for row in ROWS)]
    together = [title for title, _ in load_plots.charts(both)]
    assert len(alone) == 4
    assert not any(": " in title for title in alone)
    assert len(set(together)) == len(together) == 8
    assert all(title.endswith(tuple(alone)) for title in together)


def test_an_axis_is_logarithmic_where_values_are_of_several_sizes() -> None:
    near, far = Figure().subplots(1, 2)
    near.plot([1, 2], [10, 20])
    far.plot([1, 2, 3], [10, 200, float("nan")])
    for axes in (near, far):
        load_plots._scale(axes)
    assert (near.get_yscale(), far.get_yscale()) == ("linear", "log")
    assert near.get_ylim() == (0, pytest.approx(22))


def test_ticks_that_could_not_be_read_are_left_out() -> None:
    assert load_plots._apart([8, 16, 32, 45.3, 46, 47, 64]) == [8, 16, 32, 45.3, 64]
    assert load_plots._apart([5]) == [5]
