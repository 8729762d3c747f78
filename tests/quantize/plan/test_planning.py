"""What is quantised and what stays, and that the plan's figures are those of the result."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.refs import QuantScheme
from quantize.errors import OptionError, UnsuitableModelError
from quantize.plan import layout
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.plan.tables import Width
from quantize.protocol import Method
from quantize.write.source import SourceTensor

INT4, INT8, W8A8 = QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_W8A8
LLAMA = {"model_type": "llama"}


def tensor(name: str, *shape: int, dtype: str = "BF16") -> SourceTensor:
    num_bytes = 2
    for size in shape:
        num_bytes *= size
    return SourceTensor(
        name=name, file="model.safetensors", dtype=dtype, shape=shape, begin=0, num_bytes=num_bytes
    )


def layer(number: int, hidden: int = 256, inner: int = 512) -> list[SourceTensor]:
    prefix = f"model.layers.{number}"
    return [
        *(tensor(f"{prefix}.self_attn.{n}_proj.weight", hidden, hidden) for n in "qkvo"),
        tensor(f"{prefix}.self_attn.q_proj.bias", hidden),
        tensor(f"{prefix}.mlp.gate_proj.weight", inner, hidden),
        tensor(f"{prefix}.mlp.up_proj.weight", inner, hidden),
        tensor(f"{prefix}.mlp.down_proj.weight", hidden, inner),
        tensor(f"{prefix}.input_layernorm.weight", hidden),
    ]


def model(*, hidden: int = 256, inner: int = 512, head: bool = True) -> list[SourceTensor]:
    made = [tensor("model.embed_tokens.weight", 1000, hidden), *layer(0, hidden, inner)]
    return made + ([tensor("lm_head.weight", 1000, hidden)] if head else [])


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


def test_a_matrix_of_an_unknown_name_stays_and_is_ignored():
    odd = [*model(), tensor("transformer.h.0.attn.c_attn.weight", 256, 768)]
    made, _ = plan(odd, {}, QuantOptions(scheme=INT8))
    assert "transformer.h.0.attn.c_attn" in made.config["quantization_config"]["ignore"]
    with pytest.raises(UnsuitableModelError, match="not known as a linear layer"):
        plan(odd[-1:], {}, QuantOptions(scheme=INT8))


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


def test_ignore_is_a_search_and_a_broken_one_is_said():
    stays = skipped(QuantOptions(scheme=INT8, ignore=r"mlp\."), model())
    assert stays["mlp.down_proj"] == "--ignore"
    with pytest.raises(OptionError, match="regular expression"):
        plan(model(), {}, QuantOptions(scheme=INT8, ignore="("))


def test_partners_of_an_ignored_layer_stay_too():
    stays = skipped(QuantOptions(scheme=INT8, ignore="k_proj"), model())
    assert {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"} <= stays.keys()
    assert "self_attn.o_proj" not in stays


@pytest.mark.parametrize("has_head", [True, False])
@pytest.mark.parametrize("scheme", [W8A8, QuantScheme.INT8_WEIGHT_ONLY])
def test_the_head_is_taken_where_asked_and_untied(has_head, scheme):
    config = LLAMA | {"tie_word_embeddings": not has_head}
    made, _ = plan(model(head=has_head), config, QuantOptions(scheme=scheme, head=Width.EIGHT))
    names = [output.name for output in made.outputs]
    assert "lm_head.weight_scale" in names
    assert "model.embed_tokens.weight" in names
    assert made.config["tie_word_embeddings"] is False
    quantization = made.config["quantization_config"]
    assert quantization["ignore"] == []
    assert quantization["config_groups"]["group_0"]["targets"] == ["Linear", "lm_head"]


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


def test_tables_stay_where_engines_do_not_read_them():
    gemma2 = {"model_type": "gemma2", "tie_word_embeddings": True}
    made, _ = plan(model(head=False), gemma2, QuantOptions(scheme=INT8))
    reasons = {skip.name: skip.reason for skip in made.skipped}
    assert "vLLM reads no quantised embedding" in reasons["model.embed_tokens"]
    assert "--lm-head 8 unties it" in reasons["lm_head"]
    assert made.config["tie_word_embeddings"] is True
    untied, _ = plan(model(head=False), gemma2, QuantOptions(scheme=INT8, head=Width.EIGHT))
    assert [skip.name for skip in untied.skipped] == ["model.embed_tokens"]
    odd = {"model_type": "opt"}
    reasons = {s.name: s.reason for s in plan(model(), odd, QuantOptions(scheme=INT4))[0].skipped}
    assert "no quantised head" in reasons["lm_head"]


@pytest.mark.parametrize(
    ("config", "has_head", "options", "said"),
    [
        ({"model_type": "opt"}, True, {"head": Width.EIGHT}, "no quantised head"),
        ({"model_type": "gemma2"}, True, {"embeddings": Width.EIGHT}, "no quantised embedding"),
        (LLAMA | {"tie_word_embeddings": False}, False, {"head": Width.EIGHT}, "no output head"),
        (LLAMA, False, {"head": Width.FULL, "embeddings": Width.EIGHT}, "is the output head too"),
        (LLAMA, True, {"scheme": W8A8, "embeddings": Width.EIGHT}, "--embeddings 8 with int8-w8a8"),
    ],
)
def test_tables_that_cannot_be_as_asked_are_an_error(config, has_head, options, said):
    with pytest.raises(OptionError, match=said):
        plan(model(head=has_head), config, QuantOptions(**({"scheme": INT8} | options)))


def test_a_tied_head_that_stays_keeps_its_embedding():
    made, _ = plan(model(head=False), LLAMA, QuantOptions(scheme=INT8, head=Width.FULL))
    assert {skip.name for skip in made.skipped} == {"model.embed_tokens", "lm_head"}
    full = QuantOptions(scheme=INT8, embeddings=Width.FULL)
    assert [skip.name for skip in plan(model(), LLAMA, full)[0].skipped] == ["model.embed_tokens"]


def test_layers_of_another_form_are_named():
    def targets(sensitive: str) -> list[list[str]]:
        options = QuantOptions(
            scheme=INT4, sensitive=sensitive, head=Width.FULL, embeddings=Width.FULL
        )
        made, _ = plan([*model(), *layer(1), *layer(11)], LLAMA, options)
        groups = made.config["quantization_config"]["config_groups"].values()
        return [group["targets"] for group in groups]

    q, k, v = (rf"re:.*\.self_attn\.{name}_proj$" for name in "qkv")
    assert targets("k_proj") == [["Linear"], [q, k, v]]
    assert targets(r"layers\.1.*down") == [
        ["Linear"],
        [r"re:.*\.layers\.(?:1|11)\.mlp\.down_proj$"],
    ]
    assert targets("nothing") == [["Linear"]]


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


def test_int4_is_searched_unless_told_otherwise():
    assert plan(model(), {}, QuantOptions(scheme=INT4))[0].method is Method.SEARCH
    assert plan(model(), {}, QuantOptions(scheme=INT8))[0].method is Method.RTN
    assert plan(model(), {}, QuantOptions(scheme=INT4, method=Method.RTN))[0].method is Method.RTN


@given(
    scheme=st.sampled_from([INT4, INT8, W8A8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.FP8]),
    max_bytes=st.integers(1, 3_000_000),
)
def test_shards_hold_everything_once_and_aligned(scheme, max_bytes):
    made, _ = plan(model(), LLAMA, QuantOptions(scheme=scheme))
    shards = layout.shards_of(made.outputs, max_bytes)
    assert [o.name for shard in shards for o in shard.outputs] == [o.name for o in made.outputs]
    assert sum(s.num_bytes - len(s.header) for s in shards) == made.output_bytes
    for shard in shards:
        widths = {"I64": 8, "I32": 4, "BF16": 2}
        for output in shard.outputs:
            assert shard.places[output.name] % widths.get(output.dtype, 1) == 0
        sources = {output.source for output in shard.outputs}
        assert len(sources) == 1 or shard.num_bytes - len(shard.header) <= max_bytes


def test_a_plan_does_not_depend_on_what_it_is_not_told():
    one, _ = plan(model(), {"x": 1}, QuantOptions(scheme=INT4))
    other, _ = plan(model(), {"x": 1}, QuantOptions(scheme=INT4))
    assert replace(one) == other


def test_an_embedding_of_int4_has_the_bits_that_are_asked_for():
    for width, bits in ((Width.FOUR, 4.5), (Width.EIGHT, 8 + 16 / 128)):
        made, _ = plan(model(head=False), LLAMA, QuantOptions(scheme=INT4, embeddings=width))
        assert made.sizes["embedding"].bits_per_weight == pytest.approx(bits, abs=0.01)
        assert made.sizes["head"].bits_per_weight > 8
    made, _ = plan(model(), LLAMA, QuantOptions(scheme=INT4, embeddings=Width.FOUR))
    (group,) = (
        each
        for each in made.config["quantization_config"]["config_groups"].values()
        if "VocabParallelEmbedding" in each["targets"]
    )
    assert (group["weights"]["symmetric"], group["weights"]["group_size"]) == (True, 32)
    with pytest.raises(OptionError, match="is for int4"):
        plan(model(), LLAMA, QuantOptions(scheme=INT8, embeddings=Width.FOUR))
