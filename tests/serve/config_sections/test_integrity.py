"""Verification and signatures: what may be asked for together."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.config_sources import load_config
from serve.errors import StartupError


def test_files_are_verified_and_need_no_signature_unless_told_so() -> None:
    config = load_config({}, env={})
    assert config.verify != "off"
    assert (config.require_signature, config.signature_keys) == (False, None)


def test_keys_lie_in_the_data_folder_where_a_signature_is_needed() -> None:
    config = load_config({"require_signature": True, "data_dir": "/models"}, env={})
    assert config.signature_keys == Path("/models/trusted-keys")
    config = load_config({"require_signature": True, "trusted_keys": "/keys"}, env={})
    assert config.signature_keys == Path("/keys")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"trusted_keys": "/keys"}, "--require-signature"),
        ({"require_signature": True, "verify": "off"}, "--verify off"),
        ({"require_signature": True, "lora": ["a=/b"]}, "--lora"),
        ({"verify": "sometimes"}, "verify"),
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(StartupError, match=why):
        load_config(given, env={})
