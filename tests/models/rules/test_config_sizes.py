from __future__ import annotations

import pytest

from models.rules.config_sizes import LIMITS, fault


@pytest.mark.parametrize("key", sorted(LIMITS))
@pytest.mark.parametrize(
    "value",
    [10**8 * 10**9, -2, 1.0, 1e308, float("nan"), float("inf"), "7", True, {}, [[1]], [1, "7"]],
)
def test_what_no_network_has(key, value):
    assert key in str(fault(key, value))


@pytest.mark.parametrize("key", sorted(LIMITS))
@pytest.mark.parametrize("value", [None, -1, 0, 1, 64, [], [8, 16], [None, 8]])
def test_what_configurations_have(key, value):
    assert fault(key, value) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 126),
        ("vocab_size", 262_208),
        ("max_position_embeddings", 10_485_760),
        ("hidden_size", 18_432),
        ("n_routed_experts", 384),
        ("intermediate_size", [8192] * 30),  # a size for each layer
        ("model_max_length", 10**30),  # of a tokenizer: no size of a network
    ],
)
def test_what_is_published(key, value):
    assert fault(key, value) is None


def test_the_message_is_short_and_has_the_limit():
    assert fault("num_hidden_layers", 10**8) == (
        "its key 'num_hidden_layers' holds 100000000, which is not within 0 to 2,000; correct it, "
        "or fetch anew"
    )
    assert len(str(fault("num_hidden_layers", "9" * 10**6))) < 200
