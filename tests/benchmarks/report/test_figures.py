"""Every figure has a label, a direction and a place in the docs."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.report.figures import KINDS


def test_every_figure_has_a_label_a_direction_and_its_place_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs/benchmarks.md").read_text("utf-8")
    for name, kind in KINDS.items():
        stem = re.sub(r"_(p\d+|mean)$", "", name)
        assert f"`{stem}`" in page, f"docs/benchmarks.md does not have {stem}"
        assert kind.label
        assert kind.meaning
