"""The built-in model, quantised: what it keeps of itself, over a third of its evaluation.

`make prove` takes the whole of it.

Teacher-forced over the answers that bf16 gives, through the transformers engine's own kernels.
On vLLM the greedy next token stands for the distribution.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.quality import forcing, greedy, sequences
from benchmarks.quality.agreement import by_source, by_source_of_tokens
from benchmarks.quality.command import EVALUATION
from benchmarks.quality.gates import GATES, failures, score_failures
from benchmarks.quality.sequences import Forced, Score
from models import store
from models.progress import Progress, Silent
from models.refs import QuantScheme
from quantize.plan import Wish
from quantize.run import Quantisation
from serve.engine import placing
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.transformers_engine import TransformersEngine
from serve.environment import harden_environment
from serve.pipeline.render import Renderer

SCHEMES = (QuantScheme.INT8, QuantScheme.INT4)
OURS_ALONE = (QuantScheme.NF4, QuantScheme.BNB_INT8)
"""vLLM has a plugin for these, which is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What the full model says: the sequences, its distributions, its score."""

    renderer: Renderer
    asked: list[list[int]]
    forced: list[Forced]
    kept: forcing.Spilled
    score: Score


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> dict[QuantScheme, Path]:
    folder = tmp_path_factory.mktemp("quantised")
    for scheme in (*SCHEMES, *OURS_ALONE):
        Quantisation(
            source=store.demo(),
            wish=Wish(scheme=scheme),
            target=folder / scheme,
            data_dir=folder,
            progress=Progress(Silent()),
        ).run()
    return {scheme: folder / scheme for scheme in (*SCHEMES, *OURS_ALONE)}


@pytest.fixture(scope="module")
def items(is_proving):
    """Every third question, of all kinds; all of them where time is no matter."""
    return sequences.read_items(EVALUATION)[:: 1 if is_proving else 3]


@pytest.fixture(scope="module")
def base(tmp_path_factory, items) -> Base:
    renderer = Renderer.load(store.DEMO_WEIGHTS)
    asked = asyncio.run(sequences.prompts(renderer, items))
    with ours(store.DEMO_WEIGHTS) as (engine, runner):
        answered = runner.run(sequences.answers(engine, asked))
        forced = [
            Forced(source="evaluation", given=tuple(prompt), scored=answer)
            for prompt, answer in zip(asked, answered, strict=True)
        ]
        path = tmp_path_factory.mktemp("spilled") / "logits"
        return Base(
            renderer=renderer,
            asked=asked,
            forced=forced,
            kept=forcing.spill(engine, forced, path, lambda _: None),
            score=sequences.score(renderer, engine, items, answered),
        )


@contextmanager
def ours(folder: Path) -> Iterator[tuple[TransformersEngine, asyncio.Runner]]:
    settings = EngineSettings(max_num_seqs=64, max_model_len=1024, device="cpu")
    with asyncio.Runner() as runner:
        engine = TransformersEngine.from_folder(folder, settings, lambda *_: None)
        try:
            yield engine, runner
        finally:
            runner.run(engine.close())


@pytest.mark.parametrize("scheme", [*SCHEMES, *OURS_ALONE])
def test_the_transformers_engine_keeps_what_the_gate_asks(base, artifacts, items, scheme):
    with ours(artifacts[scheme]) as (engine, runner):
        rows = forcing.compared(engine, base.forced, base.kept, lambda _: None)
        answered = runner.run(sequences.answers(engine, base.asked))
        score = sequences.score(base.renderer, engine, items, answered)
    found = by_source(base.forced, rows)["all"]
    print(f"{scheme}: {found.top1:.2%}, {found.kl}, {score} after {base.score}")
    assert found.tokens > 2000
    # Kernels that quietly compute in bfloat16 would differ by nothing at all.
    assert found.kl is not None
    assert found.kl.mean > 1e-7
    gate = GATES[scheme]
    assert failures(gate, over="all", kl=found.kl.mean, top1=found.top1) == []
    assert score_failures(gate, base.score.percent - score.percent) == []


@pytest.mark.filterwarnings("ignore")  # of vLLM's own imports
async def test_vllm_keeps_what_the_gate_asks(artifacts, items):
    pytest.importorskip("vllm", reason="vLLM is not installed")
    harden_environment()
    renderer = Renderer.load(store.DEMO_WEIGHTS)
    asked = await sequences.prompts(renderer, items)
    settings = EngineSettings(
        max_num_seqs=64, max_model_len=1024, vllm=VllmSettings(enforce_eager=True)
    )
    forced: list[Forced] = []
    scores: dict[str, Score] = {}
    # On a CPU without AVX-512 vLLM has no int4, and the server refuses it (test_where.py).
    runs = (scheme for scheme in SCHEMES if placing.refused(scheme, "vllm", "cpu") is None)
    folders = {scheme: artifacts[scheme] for scheme in runs}
    assert folders
    for scheme, folder in {"none": store.DEMO_WEIGHTS, **folders}.items():
        engine = await asyncio.to_thread(build, "vllm", folder, settings, lambda *_: None)
        try:
            answered = await sequences.answers(engine, asked)
            scores[scheme] = sequences.score(renderer, engine, items, answered)
            if scheme == "none":
                forced = [
                    Forced(source="evaluation", given=tuple(prompt), scored=answer)
                    for prompt, answer in zip(asked, answered, strict=True)
                ]
                continue
            different = await greedy.differences(engine, forced)
        finally:
            await engine.close()
        found = by_source_of_tokens(forced, different)["all"]
        print(f"{scheme} on vLLM: {found.top1:.2%} of {found.tokens} tokens, {scores}")
        gate = GATES[QuantScheme(scheme)]
        assert failures(gate, over="all", top1=found.top1) == []
        assert score_failures(gate, scores["none"].percent - scores[scheme].percent) == []
