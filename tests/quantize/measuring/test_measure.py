"""What a quantisation cost, measured as a step of it: against transformers' own forward."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models import store
from models.progress import Progress, Silent
from models.quality import Quality
from models.refs import QuantScheme
from models.trust.manifest import SIGNATURE, Manifest
from quantize.measuring import gates, windows
from quantize.measuring.measure import ACTIVATION_BYTES, Measurement, batch_tokens
from quantize.measuring.texts import Text, built_in
from quantize.plan import planning
from quantize.plan.scheme_plan import QuantOptions
from quantize.write import result, source
from quantize.write.result import QuantisedModel
from quantize.write.run import Quantisation
from tests.small_model import train
from tests.tiny_models import write_tiny_model

STORY = Text(
    name="story",
    content="def wrap(text, width=70):\n    return TextWrapper(width=width).wrap(text)\n" * 20,
    most_tokens=300,
)
CODE = Text(name="code", content="import json\nimport functools\n" * 40, most_tokens=90)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    # Small weights: the distributions of a model that is all noise have no room between levels.
    return write_tiny_model(
        tmp_path_factory.mktemp("tiny") / "tiny", dtype="bfloat16", initializer_range=0.05
    )


class Notices(Silent):
    def __init__(self):
        self.texts = []

    def notice(self, text):
        self.texts.append(text)


def quantised(full, target, scheme=QuantScheme.INT8, texts=(STORY,), view=None) -> QuantisedModel:
    return Quantisation(
        source=store.load_folder(full, name="tiny"),
        options=QuantOptions(scheme=scheme),
        target=target,
        data_dir=target.parent / "data",
        progress=Progress(view or Silent()),
        texts=texts,
    ).run()


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


@pytest.mark.parametrize("scheme", [QuantScheme.INT8, QuantScheme.INT4, QuantScheme.INT8_W8A8])
def test_it_stands_in_the_manifest(tiny, tmp_path, scheme):
    made = quantised(tiny, tmp_path / "made", scheme)
    assert made.quality == Manifest.read(made.path).quality
    assert 0 < made.quality.kl_mean < 1
    full = sum(tensor.numel() for tensor in load_file(tiny / "model.safetensors").values())
    assert made.quality.num_weights == full
    better = QuantScheme.NONE if scheme is QuantScheme.INT8 else QuantScheme.INT8
    assert made.quality.better.scheme == better


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


def test_what_was_made_unmeasured_is_measured_later(tiny, tmp_path):
    first = quantised(tiny, tmp_path / "made", texts=())
    assert first.quality is None
    assert Manifest.read(first.path).quality is None
    second = quantised(tiny, tmp_path / "made")
    assert second.report is None
    assert second.digest == first.digest
    assert Manifest.read(first.path).quality == second.quality is not None


def test_the_same_texts_are_measured_once(tiny, tmp_path, monkeypatch):
    first = quantised(tiny, tmp_path / "made")
    monkeypatch.setattr(Measurement, "run", lambda *_: pytest.fail("measured again"))
    assert quantised(tiny, tmp_path / "made").quality == first.quality
    assert quantised(tiny, tmp_path / "made", texts=()).quality == first.quality


def test_the_manifest_of_a_signed_model_stays(tiny, tmp_path):
    made = quantised(tiny, tmp_path / "made", texts=())
    (made.path / SIGNATURE).write_text("{}")
    before = (made.path / "manifest.json").read_bytes()
    view = Notices()
    assert quantised(tiny, tmp_path / "made", view=view).quality is None
    assert (made.path / "manifest.json").read_bytes() == before
    assert "is signed" in view.texts[0]


def test_a_model_that_cannot_be_measured_is_made_all_the_same(tiny, tmp_path):
    full = write_tiny_model(tmp_path / "tiny", dtype="bfloat16", num_hidden_layers=1)
    (full / "tokenizer.json").write_text("{}")
    view = Notices()
    made = quantised(full, tmp_path / "made", view=view)
    assert made.quality is None
    assert "the quality is not known" in view.texts[-1]
    assert made.path.is_dir()


def test_the_built_in_texts_are_of_three_kinds():
    texts = built_in()
    assert [text.name for text in texts] == ["english", "chinese", "code"]
    assert len({text.sha256 for text in texts}) == 3


def test_wide_models_read_fewer_tokens_at_once():
    assert batch_tokens(4864) == windows.BATCH_TOKENS
    assert 4 * 4 * 18944 * batch_tokens(18944) <= ACTIVATION_BYTES


def test_batches_do_not_change_the_figures(tiny, tmp_path, monkeypatch):
    made = quantised(tiny, tmp_path / "made", texts=(STORY, CODE))
    monkeypatch.setattr("quantize.measuring.measure.ACTIVATION_BYTES", 1)
    again = measured(tiny, made.path, texts=(STORY, CODE))
    assert again.kl_mean == pytest.approx(made.quality.kl_mean, rel=1e-3)
    assert again.num_tokens == made.quality.num_tokens
