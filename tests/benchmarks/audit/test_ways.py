"""The ways of recording are settings that a server takes, and the one compared with has none."""

from __future__ import annotations

import pytest

from benchmarks.audit.ways import NOTHING, WAYS, needs_content_key
from serve.config_sources import load_config


@pytest.mark.parametrize("way", [way for way in WAYS if way != NOTHING])
def test_a_way_is_a_setting(way, tmp_path):
    settings = dict(WAYS[way]) | {"model": "demo", "audit_dir": tmp_path / "audit"}
    key = tmp_path / "content.key"
    key.write_text("0" * 64)
    key.chmod(0o600)
    if needs_content_key(way):
        settings["audit_content_key_file"] = key
    config = load_config(settings, env={})
    assert config.audit_level == way.removesuffix("-strict").replace("strict", "metadata")
    assert config.audit_strict == way.endswith("strict")


def test_contents_need_a_key():
    assert {way for way in WAYS if needs_content_key(way)} == {"hashed", "full", "full-strict"}


def test_nothing_is_compared_with():
    assert next(iter(WAYS)) == NOTHING
    assert WAYS[NOTHING] == {}
