"""Models that are compared with a recorded base: the figures are those of both side by side."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.quality import formulas, recorded
from benchmarks.quality.comparing import Running
from benchmarks.quality.sequences import Forced
from models.errors import DiskFullError
from tests.benchmarks.quality.standing import VOCAB, Standing, logits

FORCED = [
    Forced(source="s", given=(1,) * given, scored=tuple(range(2, 2 + scored)))
    for given, scored in [(3, 9), (1, 1), (40, 5), (3, 2)]
]
NUM_TOKENS = sum(len(each.scored) for each in FORCED)


def running(folder: Path, **engine: float) -> Running:
    folder.mkdir(exist_ok=True)
    return Running(engine=Standing(folder, **engine), folder=folder)


async def test_the_figures_are_those_of_the_whole_distributions(tmp_path, monkeypatch):
    """Two models after one base, in parts of other sizes than the base's."""
    whole = torch.stack(
        [
            logits(len(each.given) + number, token)
            for each in FORCED
            for number, token in enumerate(each.scored)
        ]
    )
    tokens = torch.tensor([token for each in FORCED for token in each.scored])
    done: list[int] = []
    with tempfile.TemporaryFile() as file:
        base = await recorded.record(running(tmp_path / "b"), FORCED, file, done.append)
        assert sum(done) == NUM_TOKENS * VOCAB * 4
        for factor, num_parts in ((0.5, 1), (2.0, 3)):
            monkeypatch.setattr(recorded, "HANDED_OVER_BYTES", 8 * VOCAB * 4 * 10 // num_parts)
            other = running(tmp_path / "o", factor=factor)
            found = await recorded.compared(base, other, FORCED, done.append)
            wanted = formulas.compare(whole, factor * whole, tokens)
            for name in ("base_nll", "quantised_nll", "kl", "same_top"):
                assert torch.equal(getattr(found, name), getattr(wanted, name)), name
    assert list(tmp_path.glob("*/*")) == []


async def test_another_vocabulary_is_refused(tmp_path):
    with tempfile.TemporaryFile() as file:
        base = await recorded.record(running(tmp_path / "b"), FORCED, file, lambda _: None)
        other = running(tmp_path / "o", vocab=VOCAB + 1)
        with pytest.raises(ValueError, match="not of the same positions and vocabulary"):
            await recorded.compared(base, other, FORCED, lambda _: None)


async def test_a_disk_without_room_is_told_before_anything_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match=r"has 1 kB free.*smaller --max-tokens.*TMPDIR"):
        await recorded.record(running(tmp_path / "b"), FORCED, None, lambda _: None)
