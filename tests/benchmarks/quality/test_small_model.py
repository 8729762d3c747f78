"""The small trained model, quantised: what it keeps through each engine's own kernels, and what a
bad scheme would make of it.
"""

from __future__ import annotations

import pytest

from benchmarks.quality.agreement import ALL
from benchmarks.quality.engines import QualityOptions
from benchmarks.quality.measuring import Results, measure
from models import store
from models.progress import Progress, Silent
from models.refs import Artifact, QuantScheme
from quantize.measuring import gates, texts
from quantize.plan.scheme_plan import QuantOptions as Making
from quantize.write.run import Quantisation
from serve.engine import placement
from serve.environment import harden_environment
from tests.small_model import train

RIGHT = (QuantScheme.INT8, QuantScheme.INT4)
OURS_ALONE = (QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.NF4, QuantScheme.BNB_INT8)
"""vLLM has a plugin for the last two, which is not installed."""


_WEIGHTS = 459_904


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("made")
    wishes = {scheme: Making(scheme=scheme) for scheme in (*RIGHT, *OURS_ALONE)}
    # As 4 bits were once: whole rows or as good as that, no zero points, nothing spared.
    bad = Making(scheme=QuantScheme.INT4, group_size=128, is_symmetric=True, sensitive=None)
    for name, wish in {**wishes, "bad": bad}.items():
        Quantisation(
            source=store.load_folder(train.WEIGHTS, name="small"),
            options=wish,
            target=folder / name,
            data_dir=folder,
            progress=Progress(Silent()),
        ).run()
    return {name: store.load_folder(folder / name, name=name) for name in (*wishes, "bad")}


async def found(quantised: list[Artifact], engine: str, max_tokens: int) -> Results:
    options = QualityOptions(
        engine=engine,
        items=(),
        texts=[(text.name, text.content) for text in texts.built_in()],
        window=256,
        max_tokens=max_tokens,
        streams=(),
        making={},
    )
    base = store.load_folder(train.WEIGHTS, name="small")
    return await measure(base, quantised, options, Progress(Silent()))


async def test_the_transformers_engine_keeps_what_the_gates_ask(made):
    result = await found([*made.values()], "transformers", 400)
    figures = {
        each.report.quantised.name: each.report.agreement[ALL].figures for each in result.measured
    }
    print({name: (each.kl_mean, each.top1) for name, each in figures.items()})
    bad = figures.pop("bad")
    for name, each in figures.items():
        assert each.num_tokens == 1200
        # Kernels that quietly compute in bfloat16 would differ by nothing at all.
        assert each.kl_mean > 1e-5
        assert gates.failures(gates.gate_of(QuantScheme(name), _WEIGHTS), each) == []
    assert len(gates.failures(gates.gate_of(QuantScheme.INT4, _WEIGHTS), bad)) == 2
    assert figures["int8"].kl_mean < figures["int4"].kl_mean / 10


@pytest.mark.filterwarnings("ignore")  # of vLLM's own imports
async def test_vllm_keeps_what_the_gates_ask(made):
    pytest.importorskip("vllm", reason="vLLM is not installed")
    harden_environment()
    # What vLLM has no kernel for on this CPU the server refuses (test_where.py).
    runs = [made[each] for each in RIGHT if placement.refused(each, "vllm", "cpu") is None]
    assert runs
    for each in (await found(runs, "vllm", 100)).measured:
        figures = each.report.agreement[ALL].figures
        print(each.report.quantised.name, figures)
        gate = gates.gate_of(QuantScheme(each.report.quantised.scheme), _WEIGHTS)
        assert figures.kl_mean > 1e-5
        assert gates.failures(gate, figures) == []
