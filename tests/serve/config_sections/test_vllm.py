"""Settings of vLLM alone, from flags and from the environment."""

from __future__ import annotations

from serve.cli.flags import parse, settings
from serve.config_sources import load_config


def test_switches_have_two_flags_and_plain_values_elsewhere() -> None:
    assert settings(parse(["--enforce-eager"])) == {"enforce_eager": True}
    assert settings(parse(["--no-enable-prefix-caching"])) == {"enable_prefix_caching": False}
    env = {"INTRAMURAL_ENFORCE_EAGER": "true", "INTRAMURAL_ENGINE_ARG": "block_size=64  seed=1"}
    config = load_config({}, env=env)
    assert config.enforce_eager
    assert config.engine_arg == ("block_size=64", "seed=1")


def test_engine_arguments_may_be_given_again_and_again() -> None:
    given = settings(parse(["--engine-arg", "a=1", "--engine-arg", 'b={"c": 2}']))
    assert load_config(given, env={}).engine_arg == ("a=1", 'b={"c": 2}')
