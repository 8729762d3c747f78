"""The picture of a quality report."""

from __future__ import annotations

import pytest
from PIL import Image

from benchmarks.quality import plots


@pytest.mark.parametrize("kl", [[], [0.0, 1e-30, 1e-3, 0.5, 1e9]])
@pytest.mark.parametrize("worst", [[], [("m", 0.0)], [("model.layers.0." * 9, 1e-4)] * 30])
def test_the_picture_is_a_png(tmp_path, kl, worst):
    path = tmp_path / "p.png"
    plots.draw(path, title="t", worst=worst, kl=kl, mean_kl=1e-4 if kl else None)
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (plots.WIDTH, plots.HEIGHT))
        assert len(image.getcolors(1 << 16) or ()) > 2
    assert sum(plots.bins(kl)) == len(kl)


def test_bars_are_equal_in_decades_and_hold_what_lies_beyond():
    counts = plots.bins([0.0, 1e-30, 0.99e-10, 1.01e-10, 1.0, 9.9, 1e9])
    assert counts[0] == 4
    assert counts[-1] == 2
    assert sum(counts) == 7
    assert plots.bins([]) == [0] * len(counts)
