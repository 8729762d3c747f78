"""What a quantisation cost, measured as a step of it: against transformers' own forward."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models.progress import Progress, Silent
from models.quality import Quality
from models.refs import QuantScheme
from quantize.measuring import gates, windows
from quantize.measuring.measure import ACTIVATION_BYTES, Measurement, batch_tokens
from quantize.measuring.texts import Text, built_in
from quantize.plan import planning
from quantize.plan.scheme_plan import QuantOptions
from quantize.write import result, source
from tests.quantize.measured_models import STORY, quantised
from tests.small_model import train
from tests.tiny_models import write_tiny_model

CODE = Text(name="code", content="import json\nimport functools\n" * 40, most_tokens=90)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    # Small weights: the distributions of a model that is all noise have no room between levels.
    return write_tiny_model(
        tmp_path_factory.mktemp("tiny") / "tiny", dtype="bfloat16", initializer_range=0.05
    )


def measured(full, made, scheme=QuantScheme.INT8, texts=(STORY,)) -> Quality:
    options = QuantOptions(scheme=scheme)
    plan, quantizer = planning.plan(source.tensors_of(full), result.config_of(full), options)
    return Measurement(
        full=full, quantised=made, layers=plan.layers, quantizer=quantizer, texts=texts
    ).run(Progress(Silent()), None)


def test_figures_are_those_of_whole_models(tiny, tmp_path):
    """Of weights alone: no rounding of activations stands between the two ways to compute."""
    made = quantised(tiny, tmp_path / "made", QuantScheme.NF4)
    assert made.quality is not None
    full = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    small = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    options = QuantOptions(scheme=QuantScheme.NF4)
    plan, quantizer = planning.plan(source.tensors_of(tiny), result.config_of(tiny), options)
    stored = load_file(made.path / "model.safetensors")
    for linear in plan.layers:
        parts = {
            part.suffix: stored[f"{linear.name}.{part.suffix}"] for part in quantizer.stored(linear)
        }
        small.get_submodule(linear.name).weight.data = quantizer.dequantise(parts, linear)
    window = windows.of_texts(tiny, [STORY], 2048)[0]
    tokens = torch.tensor([window.tokens])
    with torch.inference_mode():
        p, q = (model(input_ids=tokens).logits[0, :-1].log_softmax(-1) for model in (full, small))
    kl = (p.exp() * (p - q)).sum(-1)
    assert made.quality.num_tokens == len(kl) == len(window.tokens) - 1
    assert made.quality.kl_mean == pytest.approx(float(kl.mean()), rel=0.01)
    assert made.quality.top1 == pytest.approx(
        float((p.argmax(-1) == q.argmax(-1)).float().mean()), abs=1e-3
    )
    nll = -q.gather(1, tokens[0, 1:, None]).mean()
    assert made.quality.perplexity == pytest.approx(math.exp(nll), rel=1e-3)


def test_full_weights_lose_nothing(tiny):
    plan, quantizer = planning.plan(
        source.tensors_of(tiny), result.config_of(tiny), QuantOptions(scheme=QuantScheme.INT8)
    )
    del plan
    quality = Measurement(
        full=tiny, quantised=tiny, layers=(), quantizer=quantizer, texts=(STORY, CODE)
    ).run(Progress(Silent()), None)
    assert quality.kl_mean < 1e-6
    assert quality.top1 == 1
    assert [text.name for text in quality.texts] == ["story", "code"]
    assert quality.num_tokens == sum(text.num_tokens for text in quality.texts)


def test_a_planted_fault_fails_the_gate_and_the_right_one_passes(tmp_path):
    """On a trained model: what noise says depends on nothing much."""
    code = [text for text in built_in() if text.name == "code"]
    made = quantised(train.WEIGHTS, tmp_path / "made", texts=code)
    assert gates.complaint(made.quality, QuantScheme.INT8) is None
    weights = load_file(made.path / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight_scale"] *= 2
    save_file(weights, made.path / "model.safetensors", metadata={"format": "pt"})
    damaged = measured(train.WEIGHTS, made.path, texts=code)
    damaged = dataclasses.replace(damaged, better=made.quality.better)
    complaint = gates.complaint(damaged, QuantScheme.INT8)
    assert complaint.startswith("TOO MUCH for int8: mean KL divergence")
    assert "the full weights" in complaint
    assert "--quant none" in complaint


def test_wide_models_read_fewer_tokens_at_once():
    assert batch_tokens(4864) == windows.BATCH_TOKENS
    assert 4 * 4 * 18944 * batch_tokens(18944) <= ACTIVATION_BYTES


def test_batches_do_not_change_the_figures(tiny, tmp_path, monkeypatch):
    made = quantised(tiny, tmp_path / "made", texts=(STORY, CODE))
    monkeypatch.setattr("quantize.measuring.measure.ACTIVATION_BYTES", 1)
    again = measured(tiny, made.path, texts=(STORY, CODE))
    assert again.kl_mean == pytest.approx(made.quality.kl_mean, rel=1e-3)
    assert again.num_tokens == made.quality.num_tokens
