"""A day as a picture: requests in bins of five minutes, and replicas of plans that scale."""

from __future__ import annotations

import io
import sys

import pytest
from PIL import Image

from benchmarks.scaling import picture, plans
from benchmarks.scaling.arrivals import DAY_S, Request
from benchmarks.scaling.simulation import Outcome, Plan


def test_requests_are_counted_in_bins_and_none_is_lost() -> None:
    day = [Request(at_s=at, tokens=1) for at in (0.0, 299.0, 300.0, DAY_S - 1, DAY_S + 60)]
    rates = picture.rates(day)
    assert len(rates) == 288
    assert [round(rate * picture.BIN_S) for _, rate in rates[:2]] == [2, 1]
    # What comes after midnight is in the last bin.
    assert round(rates[-1][1] * picture.BIN_S) == 2
    assert sum(rate * picture.BIN_S for _, rate in rates) == pytest.approx(len(day))


def test_a_bin_stands_at_its_middle_in_hours() -> None:
    hours = [hour for hour, _ in picture.rates([])]
    assert hours[0] == pytest.approx(2.5 / 60)
    assert hours[-1] == pytest.approx(24 - 2.5 / 60)


def test_the_picture_is_a_png(tmp_path) -> None:
    scaled = Plan(name="hpa", fixed=1, scaler=plans.scaler(1, 2, 2))
    outcomes = [
        Outcome(plan=Plan(name="static 1", fixed=1), counts=[(15.0, 1)]),
        Outcome(plan=scaled, counts=[(15.0, 1), (30.0, 2)]),
    ]
    path = tmp_path / "day.png"
    picture.draw(path, [Request(at_s=1.0, tokens=1)], outcomes)
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert (image.format, image.size) == ("PNG", (1440, 720))


def test_without_matplotlib_there_is_no_picture(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError):
        picture.check(tmp_path / "day.png")
    with pytest.raises(ImportError):
        picture.draw(tmp_path / "day.png", [], [])
    assert list(tmp_path.iterdir()) == []
