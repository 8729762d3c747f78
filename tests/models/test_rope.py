"""RoPE parameters: where they stand, and those that no model can be computed with."""

from __future__ import annotations

from typing import Any

import pytest

from models import rope
from models.rules.numbers import shown

SIZES = {"hidden_size": 128, "num_attention_heads": 4}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONG = {"rope_type": "longrope", "short_factor": [1.0] * 16, "long_factor": [2] * 16}


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        {},
        {"rope_type": "default", "rope_theta": 1e4},
        {"type": "linear", "factor": 4},
        {"rope_type": "yarn", "factor": 4.0, "attention_factor": None, "beta_fast": 32},
        LLAMA3,
        LONG,
        LONG | {"factor": None},
        {"type": "su"} | {key: LONG[key] for key in ("short_factor", "long_factor")},
        {"rope_type": "mrope", "mrope_section": [1, 2]},
        {"rope_type": "of a later release"},
        {"full_attention": {"rope_type": "default"}, "sliding_attention": None},
    ],
    ids=str,
)
def test_what_can_be_computed(parameters: Any) -> None:
    assert rope.fault(SIZES | {"rope_parameters": parameters}) is None
    assert rope.fault(SIZES | {"rope_scaling": parameters, "rope_theta": 1e4}) is None


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "1e4", True, [1e4]])
def test_theta_and_factor_are_numbers_above_0(value: Any) -> None:
    assert rope.fault({"rope_theta": value}) is not None
    assert rope.fault({"rope_local_base_freq": value}) is not None
    for kind in ("linear", "yarn"):
        fault = rope.fault({"rope_scaling": {"type": kind, "factor": value}})
        assert fault is not None
        assert f"({kind})" in fault
        assert f"factor {shown(value)}" in fault


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("linear", "rope_scaling is 'linear'"),
        ([1], r"rope_scaling is [1]"),
        ({"type": "linear"}, "lack factor"),
        ({"rope_type": "yarn", "factor": None}, "lack factor"),
        ({key: value for key, value in LLAMA3.items() if key != "low_freq_factor"}, "lack low"),
        (LLAMA3 | {"low_freq_factor": 4.0}, "not below the high_freq_factor 4.0"),
        (
            LONG | {"short_factor": [1.0] * 3},
            "short_factor of 3 numbers; heads of this size need 16",
        ),
        (LONG | {"long_factor": None}, "lack long_factor"),
        (LONG | {"long_factor": ["2"] * 16}, "long_factor that is no list of numbers"),
        (LONG | {"original_max_position_embeddings": 0}, "original_max_position_embeddings 0"),
        ({"full_attention": {}, "sliding_attention": {"type": "linear", "factor": 0}}, "factor 0"),
    ],
    ids=str,
)
def test_a_fault_is_named_with_its_value(parameters: Any, said: str) -> None:
    fault = rope.fault(SIZES | {"rope_scaling": parameters})
    assert fault is not None
    assert said in fault


@pytest.mark.parametrize(
    ("sizes", "num_pairs"),
    [
        ({"head_dim": 64}, 32),
        ({"head_dim": 128, "partial_rotary_factor": 0.75}, 48),
        ({"hidden_size": 2560, "num_attention_heads": 40, "qk_rope_head_dim": 32}, 16),
    ],
    ids=str,
)
def test_a_factor_for_each_pair_that_is_turned(sizes: dict[str, Any], num_pairs: int) -> None:
    right = LONG | {"short_factor": [1] * num_pairs, "long_factor": [1] * num_pairs}
    assert rope.fault(sizes | {"rope_scaling": right}) is None
    assert rope.fault(sizes | {"rope_scaling": right | {"long_factor": [1]}}) is not None
