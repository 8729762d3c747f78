"""Several models side by side, step by step, against whole forwards."""

from __future__ import annotations

import pytest
import torch

from benchmarks.quality import comparing, forcing, formulas
from benchmarks.quality.agreement import by_source
from benchmarks.quality.comparing import Running
from serve.engine.settings import EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from tests.benchmarks.quality.forced_sequences import SIZES, plain
from tests.tiny_models import VOCAB_SIZE, write_tiny_model


async def test_a_model_against_itself_has_lost_nothing(engine, forced, tmp_path):
    done: list[int] = []
    own = Running(engine=engine, folder=tmp_path)
    (rows,) = await comparing.compared(own, [own], forced, done.append)
    num_tokens = sum(scored for _, scored in SIZES)
    assert sum(done) == num_tokens * VOCAB_SIZE * 4
    found = by_source(forced, rows)
    assert list(found) == ["a", "b", "all"]
    assert found["all"].tokens == num_tokens
    for each in found.values():
        assert each.top1 == 1
        assert each.kl.largest < 1e-9
        assert each.ratio.value == pytest.approx(1, abs=1e-6)


async def test_several_models_at_once_and_each_row_in_its_place(
    folder, engine, forced, tmp_path, monkeypatch
):
    """Against whole forwards; what is alive of distributions is a step's, and nothing on disk."""
    own, other = Running(engine=engine, folder=tmp_path), tmp_path / "other"
    write_tiny_model(other, seed=1)
    settings = EngineSettings(max_num_seqs=16, max_model_len=256, kv_cache_tokens=4096)
    second = TransformersEngine.from_folder(other, settings, lambda *_: None)
    most: list[int] = []
    compare = formulas.compare
    monkeypatch.setattr(
        comparing, "compare", lambda p, q, t: most.append(len(p)) or compare(p, q, t)
    )
    try:
        its = Running(engine=second, folder=tmp_path)
        same, differing = await comparing.compared(own, [own, its], forced, lambda _: None)
    finally:
        await second.close()
    wanted = formulas.compare(
        torch.cat([plain(folder, each) for each in forced]),
        torch.cat([plain(other, each) for each in forced]),
        torch.tensor([token for each in forced for token in each.scored]),
    )
    assert float(same.kl.max()) < 1e-9
    assert torch.allclose(differing.kl, wanted.kl, rtol=1e-2, atol=1e-4)
    assert torch.allclose(differing.quantised_nll, wanted.quantised_nll, atol=1e-2)
    assert max(most) <= forcing.TOGETHER
    assert [path for path in tmp_path.iterdir() if path != other] == []
