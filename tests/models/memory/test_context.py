"""The longest context: what is stated, and what each kind of RoPE scaling makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from models.memory.context import context_length

STATED = {"max_position_embeddings": 32768}
ORIGINAL = "original_max_position_embeddings"


def stretched(**rope: Any) -> int | None:
    return context_length(STATED | {"rope_scaling": rope})


@pytest.mark.parametrize(
    ("rope", "expected"),
    [
        ({"type": "yarn", "factor": 4.0, ORIGINAL: 32768}, 131072),  # Qwen2.5's model cards
        ({"rope_type": "yarn", "factor": 4.0}, 131072),
        ({"rope_type": "yarn", "factor": 8.0, ORIGINAL: 4096}, 32768),  # stated after the stretch
        ({"rope_type": "yarn", "factor": 2.0, ORIGINAL: 4096}, 32768),
        ({"rope_type": "yarn"}, 32768),
        ({"rope_type": "linear", "factor": 4}, 131072),
        ({"type": "linear", "factor": 2.0, ORIGINAL: 16384}, 32768),
        ({"type": "dynamic", "factor": 2.0}, 65536),
        ({"rope_type": "llama3", "factor": 8.0, ORIGINAL: 8192}, 32768),
        ({"rope_type": "default"}, 32768),
        ({"type": "mrope", "mrope_section": [16, 24, 24]}, 32768),
        ({"rope_type": "longrope", ORIGINAL: 4096, "factor": 8.0}, 4096),
        ({"type": "su", ORIGINAL: 4096}, 4096),
        ({"type": "longrope"}, 32768),
    ],
    ids=str,
)
def test_each_kind_of_scaling(rope: dict[str, Any], expected: int) -> None:
    assert stretched(**rope) == expected
    assert context_length(STATED | {"rope_parameters": rope}) == expected


@pytest.mark.parametrize("factor", [0.5, 0, -4, float("nan"), float("inf"), "4", None, True, [4]])
def test_a_factor_that_stretches_nothing_changes_nothing(factor: Any) -> None:
    assert stretched(rope_type="yarn", factor=factor) == 32768
    assert stretched(rope_type="linear", factor=factor) == 32768


def test_a_factor_cannot_run_away() -> None:
    length = stretched(rope_type="linear", factor=1e11)
    assert length is not None
    assert length < 1 << 40


def test_lengths_that_are_stated_after_the_stretch() -> None:
    gemma = {"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    assert context_length(STATED | gemma) == 32768
    layers = {"full_attention": {"rope_type": "linear", "factor": 8.0}, "sliding_attention": {}}
    assert context_length(STATED | {"rope_parameters": layers}) == 32768
    phi = {ORIGINAL: 4096, "rope_scaling": {"type": "longrope", "short_factor": [], "factor": 1}}
    assert context_length(STATED | phi) == 4096


def test_the_language_models_part_counts_where_there_is_one() -> None:
    assert context_length({"max_position_embeddings": 8, "text_config": STATED}) == 32768
    assert context_length({"max_position_embeddings": 8, "text_config": None}) == 8


@pytest.mark.parametrize("stated", [None, 0, -1, "2048", True, 2048.5, [], 1 << 60])
def test_what_states_no_length(stated: Any) -> None:
    rope = {"rope_type": "yarn", "factor": 4.0}
    assert context_length({"max_position_embeddings": stated, "rope_scaling": rope}) is None
    assert context_length({}) is None


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert context_length({"max_position_embeddings": 2048.0}) == 2048


def test_of_both_names_the_older_counts_as_transformers_has_it() -> None:
    yarn = {"type": "yarn", "factor": 4.0}
    both = STATED | {"rope_parameters": {"rope_type": "default"}, "rope_scaling": yarn}
    assert context_length(both) == 131072
    assert context_length(both | {"rope_scaling": {}}) == 32768


@pytest.mark.parametrize("key", ["n_positions", "max_seq_len"])
def test_a_length_by_the_familys_own_name(key: str) -> None:
    assert context_length({key: 1024}) == 1024
    assert context_length({key: 1024, "max_position_embeddings": 2048}) == 2048
