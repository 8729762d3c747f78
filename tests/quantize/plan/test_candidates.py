"""Which matrices may be quantised, by their names."""

from __future__ import annotations

import pytest

from models.refs import QuantScheme
from quantize.errors import OptionError, UnsuitableModelError
from quantize.formats.forms import Part
from quantize.plan.candidates import candidates, part_of, partners
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.plan.tables import Stays
from quantize.write.source import SourceTensor
from tests.quantize.source_tensors import model, tensor

INT4, INT8, W8A8 = QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_W8A8
LLAMA = {"model_type": "llama"}


BOTH = Stays(head=None, embedding=None)


def names(tensors: list[SourceTensor], **options) -> tuple[set[str], dict[str, str]]:
    linears, skipped = candidates(tensors, **({"ignore": None, "stays": BOTH} | options))
    return {linear.name for linear in linears}, {skip.name: skip.reason for skip in skipped}


def skipped_by_plan(options: QuantOptions) -> dict[str, str]:
    made, _ = plan(model(), {}, options)
    return {skip.name.removeprefix("model.layers.0."): skip.reason for skip in made.skipped}


def test_a_matrix_of_an_unknown_name_stays_and_is_ignored():
    odd = [*model(), tensor("transformer.h.0.attn.c_attn.weight", 256, 768)]
    made, _ = plan(odd, {}, QuantOptions(scheme=INT8))
    assert "transformer.h.0.attn.c_attn" in made.config["quantization_config"]["ignore"]
    with pytest.raises(UnsuitableModelError, match="not known as a linear layer"):
        plan(odd[-1:], {}, QuantOptions(scheme=INT8))


def test_ignore_is_a_search_and_a_broken_one_is_said():
    stays = skipped_by_plan(QuantOptions(scheme=INT8, ignore=r"mlp\."))
    assert stays["mlp.down_proj"] == "--ignore"
    with pytest.raises(OptionError, match="regular expression"):
        plan(model(), {}, QuantOptions(scheme=INT8, ignore="("))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("lm_head", Part.HEAD),
        ("model.embed_tokens", Part.EMBEDDING),
        ("transformer.wte", Part.EMBEDDING),
        ("model.layers.0.mlp.down_proj", Part.LAYERS),
        ("model.embed_tokens_extra", Part.LAYERS),
    ],
)
def test_the_last_part_of_a_name_says_what_a_matrix_is(name, part):
    assert part_of(name) is part


def test_partners_are_the_others_of_one_product_in_the_same_layer():
    assert partners("model.layers.3.self_attn.k_proj") == (
        "model.layers.3.self_attn.q_proj",
        "model.layers.3.self_attn.v_proj",
    )
    assert partners("gate_proj") == ("up_proj",)
    assert partners("model.layers.3.mlp.down_proj") == ()


def test_vectors_and_what_is_no_weight_are_neither_taken_nor_named():
    tensors = [tensor("a.q_proj.bias", 8), tensor("a.norm.weight", 8), tensor("a.table", 8, 8)]
    assert names(tensors) == (set(), {})


def test_a_matrix_that_is_no_float_or_sees_pictures_stays_and_says_why():
    odd = [
        tensor("model.layers.0.mlp.up_proj.weight", 8, 8, dtype="I8"),
        tensor("visual.blocks.0.mlp.up_proj.weight", 8, 8),
    ]
    assert names(odd) == (
        set(),
        {
            "model.layers.0.mlp.up_proj": "its numbers are I8",
            "visual.blocks.0.mlp.up_proj": "part of the vision tower",
        },
    )


def test_a_tied_head_is_a_candidate_of_its_own_unless_it_stays():
    linears, _ = names(model(head=False))
    assert {"lm_head", "model.embed_tokens"} <= linears
    linears, skipped = names(model(head=False), stays=Stays(head="why", embedding=None))
    assert "lm_head" not in linears
    assert skipped["lm_head"] == "why"
