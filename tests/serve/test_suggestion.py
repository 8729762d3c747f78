"""Suggestions: names that are near, at most three, and none for what is near to nothing."""

from __future__ import annotations

from serve.suggestion import near

KNOWN = ["max_tokens", "max_num_seqs", "temperature", "top_p", "top_k", "top_q"]


def test_a_slip_is_answered_with_the_name() -> None:
    assert near("temprature", KNOWN) == " Did you mean temperature?"


def test_one_that_is_nearly_the_same_is_named_alone() -> None:
    known = ["include_usage", "include_obfuscation", "continuous_usage_stats"]
    assert near("include_usages", known) == " Did you mean include_usage?"
    assert near("include_us", known).startswith(" Did you mean include_usage or ")


def test_several_are_offered_the_nearest_first_and_three_at_most() -> None:
    assert near("top_x", KNOWN).removesuffix("?").count(" or ") == 2
    assert near("max_token", KNOWN).startswith(" Did you mean max_tokens")


def test_nothing_is_offered_for_what_is_near_to_nothing() -> None:
    assert near("zzz", KNOWN) == near("", KNOWN) == ""
