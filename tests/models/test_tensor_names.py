"""Embedding and output head by their names, in full or in parts."""

from __future__ import annotations

from models.tensor_names import EMBEDDINGS, HEADS, parts_of, weight_of

NAMES = (
    "model.embed_tokens.weight",
    "model.layers.0.not_lm_head.weight",
    "language_model.lm_head.weight_packed",
    "language_model.lm_head.weight_scale",
    "lm_head.bias",
    "lm_head.dense.weight",
)


def test_a_weight_is_found_wherever_the_module_is() -> None:
    assert weight_of(EMBEDDINGS, NAMES) == NAMES[0]
    assert weight_of(EMBEDDINGS, ["wte.weight"]) == "wte.weight"
    assert weight_of(HEADS, NAMES) is None  # in parts, and another module's name ends so


def test_parts_are_found_by_what_they_are() -> None:
    assert parts_of(HEADS, NAMES) == {
        "weight_packed": NAMES[2],
        "weight_scale": NAMES[3],
    }
    assert parts_of(EMBEDDINGS, NAMES) == {"weight": NAMES[0]}
