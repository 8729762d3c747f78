from __future__ import annotations

from models.memory.families import FAMILIES, READS_EMBEDDING


def test_every_family_whose_embedding_is_read_quantised_is_known():
    assert set(FAMILIES) >= READS_EMBEDDING


def test_windows_and_biases_are_of_the_words_that_shapes_reads():
    for name, family in FAMILIES.items():
        is_word = family.window in {"all", "on request"}
        assert is_word or int(family.window) > 1, name
        assert set(family.bias) <= set("qkvo"), name


def test_a_default_window_is_of_a_family_that_may_have_one():
    for name, family in FAMILIES.items():
        assert family.default_window is None or family.default_window > 0, name
        assert not (family.mla and family.default_window), name


def test_experts_are_named_as_configurations_name_their_number():
    keys = {key for family in FAMILIES.values() for key in family.experts}
    assert keys == {"num_experts", "num_local_experts", "n_routed_experts"}
