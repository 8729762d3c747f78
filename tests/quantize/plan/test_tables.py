"""The output head and the embedding: what becomes of them, and when that is an error."""

from __future__ import annotations

import pytest

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.plan.tables import Stays, Width, is_tied, stays, table_of, with_tied_head
from tests.quantize.source_tensors import model, tensor

INT4, INT8, W8A8 = QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_W8A8
LLAMA = {"model_type": "llama"}


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


def test_a_head_that_is_not_stored_is_the_embedding():
    tied = model(head=False)
    assert is_tied(tied)
    assert not is_tied(model())
    (*rest, head) = with_tied_head(tied)
    table = table_of(tied)
    assert (rest, head.name) == (tied, "lm_head.weight")
    assert (head.file, head.begin, head.shape) == (table.file, table.begin, table.shape)
    assert with_tied_head(model()) == model()


def test_an_embedding_is_known_by_the_end_of_its_name():
    wte = tensor("transformer.wte.weight", 1000, 64)
    assert table_of([tensor("model.norm.weight", 64), wte]) is wte
    assert table_of([tensor("model.embed_positions.weight", 10, 64)]) is None
    without = [tensor("model.norm.weight", 64)]
    assert with_tied_head(without) == without


def test_only_schemes_with_a_form_for_it_take_the_embedding():
    for scheme in QuantScheme:
        decision = stays(model(), LLAMA, scheme, head=None, embeddings=None)
        has_form = scheme in (INT4, INT8)
        assert (decision.head is None, decision.embedding is None) == (has_form, has_form)


def test_full_is_always_possible_and_gives_the_option_as_the_reason():
    decision = stays(model(), {"model_type": "opt"}, INT4, head=Width.FULL, embeddings=Width.FULL)
    assert decision == Stays(head="--lm-head full", embedding="--embeddings full")
