"""Guesses and kept prefixes: what may be asked for together."""

from __future__ import annotations

import pytest

from serve.cli.flags import parse, settings
from serve.config_sources import load_config
from serve.errors import StartupError


def test_guesses_are_left_to_the_engine_unless_told_otherwise() -> None:
    assert load_config({}, env={}).prompt_lookup is None
    given = settings(parse(["--no-prompt-lookup"]))
    assert load_config(given, env={}).prompt_lookup is False


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"prompt_lookup": False, "num_speculative_tokens": 3}, "--no-prompt-lookup"),
        ({"num_speculative_tokens": 0}, "num-speculative-tokens"),
        ({"prefix_cache_key_file": "/k"}, "--prefix-cache-dir"),
        ({"prefix_cache_dir": "/d", "enable_prefix_caching": False}, "prefix-caching"),
        ({"prefix_cache_dir": "/d", "verify": "off"}, "--verify off"),
        ({"prefix_cache_dir": " "}, "empty"),
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(StartupError, match=why):
        load_config(given, env={})
