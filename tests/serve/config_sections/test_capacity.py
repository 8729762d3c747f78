"""How much the engine takes on, from flags and from the environment."""

from __future__ import annotations

import pytest

from serve.cli.flags import parse, settings
from serve.config_sources import load_config


@pytest.mark.parametrize("name", ["max_num_seqs", "max_num_batched_tokens"])
def test_auto_leaves_a_number_to_the_engine(name: str) -> None:
    config = load_config({name: "auto"}, env={})
    assert getattr(config, name) is None
    assert config.model_dump(mode="json")[name] == "auto"


def test_prefixes_are_kept_unless_told_otherwise() -> None:
    assert load_config({}, env={}).enable_prefix_caching
    given = settings(parse(["--no-enable-prefix-caching"]))
    assert not load_config(given, env={}).enable_prefix_caching
    env = {"INTRAMURAL_ENABLE_PREFIX_CACHING": "false"}
    assert not load_config({}, env=env).enable_prefix_caching
