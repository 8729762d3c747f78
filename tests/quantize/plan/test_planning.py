"""What is quantised and what stays, and that the plan's figures are those of the result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.refs import QuantScheme
from quantize.errors import OptionError, UnsuitableModelError
from quantize.plan.choices import Choice
from quantize.plan.planning import CHUNK_BYTES, PROCESS_BYTES, best, plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.write.source import SourceTensor
from tests.quantize.source_tensors import layer, model

INT4, INT8, W8A8 = QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_W8A8
LLAMA = {"model_type": "llama"}


def skipped(options: QuantOptions, tensors: list[SourceTensor], **config: object) -> dict[str, str]:
    made, _ = plan(tensors, config, options)
    return {skip.name.removeprefix("model.layers.0."): skip.reason for skip in made.skipped}


def test_linears_are_quantised_and_the_rest_stays():
    made, _ = plan(model(), LLAMA, QuantOptions(scheme=W8A8))
    assert len(made.layers) == 7
    assert {skip.name for skip in made.skipped} == {"model.embed_tokens", "lm_head"}
    assert made.config["quantization_config"]["ignore"] == ["lm_head"]
    kept = {output.name for output in made.outputs if output.linear is None}
    assert "model.layers.0.self_attn.q_proj.bias" in kept
    assert "model.layers.0.input_layernorm.weight" in kept


def test_partners_of_a_layer_that_stays_stay_too():
    stays = skipped(QuantOptions(scheme=INT4, group_size=128), model(hidden=192))
    assert {"self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj"} <= stays.keys()
    assert "mlp.down_proj" not in stays


def test_what_no_group_divides_stays_on_each_device_too():
    assert skipped(QuantOptions(scheme=INT8), model(hidden=48))
    assert "o_proj" not in str(skipped(QuantOptions(scheme=INT4), model(hidden=96)))
    shared = skipped(QuantOptions(scheme=INT4, tensor_parallel=2), model(hidden=96))
    assert "32 does not divide 48 columns" in shared["self_attn.o_proj"]
    rows = skipped(QuantOptions(scheme=INT4, tensor_parallel=16), model(inner=64))
    assert "4 rows" in rows["mlp.up_proj"]


def test_partners_of_an_ignored_layer_stay_too():
    stays = skipped(QuantOptions(scheme=INT8, ignore="k_proj"), model())
    assert {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"} <= stays.keys()
    assert "self_attn.o_proj" not in stays


@pytest.mark.parametrize("scheme", [INT8, INT4])
@pytest.mark.parametrize("has_head", [True, False])
def test_head_and_embedding_are_quantised(scheme, has_head):
    made, _ = plan(model(head=has_head), LLAMA, QuantOptions(scheme=scheme))
    assert made.skipped == ()
    assert made.config["tie_word_embeddings"] is False
    sources = {output.name: output.source for output in made.outputs}
    kept = "lm_head.weight" if has_head else "model.embed_tokens.weight"
    assert sources["lm_head.weight_packed"] == kept
    assert sources["model.embed_tokens.weight_packed"] == "model.embed_tokens.weight"
    # What is looked up and nothing else has 4 bits in int4.
    num_bits = 4 if scheme is INT4 and has_head else 8
    bits = {8: 8 + 16 / 128, 4: 4 + 16 / 32}
    assert made.sizes["head"].bits_per_weight == pytest.approx(bits[8], abs=0.01)
    assert made.sizes["embedding"].bits_per_weight == pytest.approx(bits[num_bits], abs=0.01)
    targets = {
        target: group["weights"]["num_bits"]
        for group in made.config["quantization_config"]["config_groups"].values()
        for target in group["targets"]
    }
    assert targets["lm_head"] == 8
    assert targets["VocabParallelEmbedding"] == targets["re:.*embed_tokens$"] == num_bits
    assert targets["Linear"] == (8 if scheme is INT8 else 4)


@pytest.mark.parametrize(
    "config",
    [{"quantization_config": {}}, {"num_local_experts": 8}, {"text_config": {"num_experts": 4}}],
)
def test_unsuitable_models_are_refused(config):
    with pytest.raises(UnsuitableModelError):
        plan(model(), config, QuantOptions(scheme=INT8))


def test_what_stands_against_sharing_is_said():
    made, _ = plan(model(hidden=252), {}, QuantOptions(scheme=W8A8, tensor_parallel=8))
    assert "model.layers.0.self_attn.q_proj: 252 rows" in made.tensor_parallel_faults[0]
    assert not plan(model(), {}, QuantOptions(scheme=INT8, tensor_parallel=8))[
        0
    ].tensor_parallel_faults


def test_a_plan_does_not_depend_on_what_it_is_not_told():
    one, _ = plan(model(), {"x": 1}, QuantOptions(scheme=INT4))
    other, _ = plan(model(), {"x": 1}, QuantOptions(scheme=INT4))
    assert replace(one) == other


def test_memory_does_not_grow_with_the_number_of_layers():
    small, _ = plan(model(), {}, QuantOptions(scheme=INT8))
    many = [part for number in range(1, 40) for part in layer(number)]
    large, _ = plan([*model(), *many], {}, QuantOptions(scheme=INT8))
    assert large.source_bytes > 20 * small.source_bytes
    assert large.peak_memory_bytes == small.peak_memory_bytes
    wide, _ = plan(model(hidden=8192, inner=32768), {}, QuantOptions(scheme=INT8))
    assert PROCESS_BYTES < wide.peak_memory_bytes <= PROCESS_BYTES + 9 * 3 * CHUNK_BYTES


def bytes_of(text: str) -> int:
    choice = QuantOptions(scheme=INT8).with_choice(Choice.parse(text))
    return plan(model(), LLAMA, choice)[0].output_bytes


def test_a_budget_takes_the_first_that_fits_to_the_byte():
    options = QuantOptions(scheme=INT8)
    full = sum(part.num_bytes for part in model())
    assert str(best(model(), LLAMA, options, full)) == "none"
    assert str(best(model(), LLAMA, options, full - 1)) == "int8"
    assert str(best(model(), LLAMA, options, bytes_of("int8"))) == "int8"
    assert str(best(model(), LLAMA, options, bytes_of("int8") - 1)) == "int4-down"
    assert str(best(model(), LLAMA, options, bytes_of("int4"))) == "int4"


def test_a_budget_that_nothing_fits_names_the_smallest():
    with pytest.raises(OptionError, match=r"fits into 1 B: the smallest is int4 with .*\. Allow"):
        best(model(), LLAMA, QuantOptions(scheme=INT8), 1)
