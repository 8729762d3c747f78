"""Systems of this process: our engine without HTTP, and `model.generate` with a clock."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.cases import Case
from benchmarks.compare import in_process
from benchmarks.compare.in_process import Generate, OurEngine
from benchmarks.compare.systems import Bench
from models.refs import Artifact, QuantScheme
from serve.engine.fake import FakeEngine

CASE = Case(phase="decode", batch=4, prompt_tokens=10, max_tokens=20)


class Model:
    """Generates the token 7, and keeps what it was told."""

    device = torch.device("cpu")

    def generate(self, ids, *, max_new_tokens, stopping_criteria, **settings):
        self.settings = settings
        for _ in range(max_new_tokens):
            ids = torch.cat([ids, torch.full((len(ids), 1), 7)], dim=1)
            assert not stopping_criteria(ids, torch.zeros(len(ids), 9)).any()
        return ids


async def test_every_prompt_of_a_batch_has_one_stamp_for_each_token() -> None:
    model = Model()
    traces = await Generate(model).ask_all("x", [[1, 2, 3], [4, 5, 6]], 5)
    assert len(traces) == 2
    for trace in traces:
        assert (trace.prompt_tokens, trace.completion_tokens) == (3, 5)
        assert len(trace.arrivals_at) == sum(trace.chunk_tokens) == 5
        stamps = [trace.sent_at, *trace.arrivals_at, trace.finished_at]
        assert stamps == sorted(stamps)
    assert model.settings["eos_token_id"] is None
    assert model.settings["do_sample"] is False


async def test_traces_of_one_batch_share_no_stamps() -> None:
    one, other = await Generate(Model()).ask_all("x", [[1], [2]], 2)
    one.arrivals_at.append(9.0)
    assert len(other.arrivals_at) == 2


async def test_a_closed_model_can_be_freed() -> None:
    system = Generate(Model())
    await system.close()
    assert not hasattr(system, "_model")


async def test_our_engine_is_asked_and_closed() -> None:
    engine = FakeEngine()
    system = OurEngine(engine)
    traces = await system.ask_all("case", [[3, 4], [5]], 6)
    assert [trace.prompt_tokens for trace in traces] == [2, 1]
    assert {trace.completion_tokens for trace in traces} == {6}
    await system.close()


@pytest.mark.parametrize("scheme", [QuantScheme.NONE, QuantScheme.INT8])
async def test_our_engine_has_room_for_the_largest_case(monkeypatch, scheme) -> None:
    seen: dict = {}

    def build(name, path, settings, _):
        seen.update(name=name, path=path, settings=settings)

    full = Artifact(name="m", path=Path("/m"))
    monkeypatch.setattr(
        in_process.workbench,
        "quantised",
        lambda model, wanted, _: SimpleNamespace(path=model.path / wanted),
    )
    monkeypatch.setattr(in_process, "build", build)
    bench = Bench(
        full=full, cache_dir=Path("/c"), dtype="float32", cases=(CASE,), llama_python=None
    )
    await in_process.start_ours(bench, scheme)
    assert (seen["name"], seen["path"]) == ("transformers", full.path / scheme)
    settings = seen["settings"]
    assert settings.max_num_seqs == 4
    assert settings.max_model_len >= 30
    assert settings.kv_cache_tokens >= 4 * settings.max_model_len
    assert settings.max_hold_s == 0
