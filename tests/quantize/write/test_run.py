"""The demo model, end to end: what is written is what the format says, and is a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models import store
from models.progress import Progress, Silent
from models.refs import QuantScheme
from models.trust.manifest import QUANTISED_FROM, Manifest
from models.trust.verify import verify
from quantize.errors import BadWeightsError, OccupiedError, UnsuitableModelError
from quantize.formats.packing import unpack
from quantize.plan.scheme_plan import QuantOptions
from quantize.write.journal import Done, Journal
from quantize.write.result import QuantisedModel
from quantize.write.run import Quantisation, peak_bytes
from tests.quantize.models import copy_of_demo, rewrite


def run(
    source: Path, target: Path, scheme: QuantScheme = QuantScheme.INT8, **settings
) -> QuantisedModel:
    options = settings.pop("options", QuantOptions(scheme=scheme))
    return Quantisation(
        source=store.load_folder(source, name="source"),
        options=options,
        target=target,
        data_dir=target.parent,
        progress=Progress(Silent()),
        **settings,
    ).run()


def test_int8_of_the_demo_model(tmp_path):
    made = run(store.DEMO_WEIGHTS, tmp_path / "int8")
    artifact = store.load_folder(made.path, name="int8")
    assert artifact.scheme is QuantScheme.INT8
    assert verify(made.path).is_ok
    manifest = Manifest.read(made.path)
    assert manifest.tools[QUANTISED_FROM] == Manifest.read(store.DEMO_WEIGHTS).digest
    full = load_file(store.DEMO_WEIGHTS / "model.safetensors")
    small = load_file(made.path / "model.safetensors")
    name = "model.layers.3.mlp.down_proj"
    packed, scale = small[f"{name}.weight_packed"], small[f"{name}.weight_scale"]
    assert packed.dtype == torch.int32
    assert scale.shape == (256, 768 // 32)
    integers = unpack(packed, 8).float().view(256, -1, 32)
    error = (integers * scale.float().unsqueeze(-1)).view(256, -1) - full[f"{name}.weight"].float()
    step = scale.float().repeat_interleave(32, 1)
    assert (error.abs() <= step * 0.51).all()
    kept = "model.norm.weight"
    assert torch.equal(small[kept], full[kept])
    for part in ("weight_packed", "weight_scale", "weight_shape"):  # a tied head is stored twice
        assert torch.equal(small[f"lm_head.{part}"], small[f"model.embed_tokens.{part}"])
    assert (made.path / "tokenizer.json").read_bytes() == (
        store.DEMO_WEIGHTS / "tokenizer.json"
    ).read_bytes()


def test_the_same_again_is_here_already_and_something_else_is_refused(tmp_path):
    first = run(store.DEMO_WEIGHTS, tmp_path / "x")
    again = run(store.DEMO_WEIGHTS, tmp_path / "x")
    assert again.report is None
    assert again.digest == first.digest
    other = QuantOptions(scheme=QuantScheme.INT8, ignore="down_proj")
    with pytest.raises(OccupiedError, match="--replace"):
        run(store.DEMO_WEIGHTS, tmp_path / "x", options=other)
    replaced = run(store.DEMO_WEIGHTS, tmp_path / "x", options=other, is_replacing=True)
    assert replaced.digest != first.digest


def test_many_small_shards_hold_the_same(tmp_path):
    one = run(store.DEMO_WEIGHTS, tmp_path / "one")
    many = run(store.DEMO_WEIGHTS, tmp_path / "many", shard_bytes=1_000_000)
    shards = sorted(many.path.glob("*.safetensors"))
    assert len(shards) > 3
    index = json.loads((many.path / "model.safetensors.index.json").read_bytes())
    whole = load_file(one.path / "model.safetensors")
    parts = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    assert parts.keys() == whole.keys() == index["weight_map"].keys()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_an_error_that_names_it(tmp_path, value):
    name = "model.layers.2.self_attn.k_proj.weight"
    source = copy_of_demo(tmp_path / "source")
    rewrite(source, lambda tensors: tensors[name].view(-1)[77:78].fill_(value))
    with pytest.raises(BadWeightsError, match=name):
        run(source, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_quantising_twice_is_refused(tmp_path):
    made = run(store.DEMO_WEIGHTS, tmp_path / "x")
    with pytest.raises(UnsuitableModelError, match="already"):
        run(made.path, tmp_path / "y")


def test_a_stopped_run_goes_on_with_whole_shards_and_ends_the_same(tmp_path, monkeypatch):
    wanted = run(store.DEMO_WEIGHTS, tmp_path / "whole", shard_bytes=1_000_000)
    enter, entered = Journal.enter, []

    def stop_at_the_third(journal: Journal, name: str, done: Done) -> None:
        if len(entered) == 2:
            raise KeyboardInterrupt
        entered.append(name)
        enter(journal, name, done)

    monkeypatch.setattr(Journal, "enter", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(store.DEMO_WEIGHTS, tmp_path / "x", shard_bytes=1_000_000)
    assert not (tmp_path / "x").exists()
    monkeypatch.setattr(Journal, "enter", enter)
    made = run(store.DEMO_WEIGHTS, tmp_path / "x", shard_bytes=1_000_000)
    assert made.digest == wanted.digest
    assert made.report is not None
    assert wanted.report is not None
    assert made.report.num_resumed_bytes > 0
    assert made.report.layers == wanted.report.layers


def test_what_is_left_of_another_plan_is_thrown_away(tmp_path, monkeypatch):
    def stop(journal: Journal, name: str, done: Done) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "enter", stop)
        with pytest.raises(KeyboardInterrupt):
            run(store.DEMO_WEIGHTS, tmp_path / "x", shard_bytes=1_000_000)
    made = run(store.DEMO_WEIGHTS, tmp_path / "x", QuantScheme.INT4)
    assert made.report is not None
    assert made.report.num_resumed_bytes == 0
    assert [path.name for path in made.path.glob("*.safetensors")] == ["model.safetensors"]
    assert made.digest == run(store.DEMO_WEIGHTS, tmp_path / "y", QuantScheme.INT4).digest


def test_the_plan_says_how_large_the_result_is(tmp_path):
    made = run(store.DEMO_WEIGHTS, tmp_path / "x")
    assert made.report is not None
    sizes = made.report.plan
    weights = sum(path.stat().st_size for path in made.path.glob("*.safetensors"))
    assert 0 <= weights - sizes.output_bytes < 50_000  # the header


def test_the_peak_is_the_kernels_and_getrusage_where_there_is_none(tmp_path):
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n")
    assert peak_bytes(tmp_path / "status") == 2 << 20
    assert peak_bytes(tmp_path / "absent") > 1 << 20
