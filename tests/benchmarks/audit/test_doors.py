"""The settings of each door: one model and engine, and nothing else that differs but the way."""

from __future__ import annotations

import argparse
import stat

import pytest

from benchmarks.audit import doors
from benchmarks.audit.ways import NOTHING, WAYS, needs_content_key


@pytest.fixture
def options(tmp_path) -> argparse.Namespace:
    (tmp_path / "keys.json").write_text("{}")
    return argparse.Namespace(folder=tmp_path, model="demo", engine="fake", streams=7, pace=None)


@pytest.mark.parametrize("way", WAYS)
def test_a_door_differs_by_its_way_alone(options, way):
    plain, config = (doors._config(options, each) for each in (NOTHING, way))
    assert (config.model, config.max_num_seqs, config.port) == ("demo", 7, 0)
    own = {"audit_dir", "audit_content_key_file", "state_dir", *WAYS[way]}
    different = {
        name for name in type(config).model_fields if getattr(config, name) != getattr(plain, name)
    }
    assert different <= own
    assert (config.audit_dir is not None) == bool(WAYS[way])


@pytest.mark.parametrize("way", WAYS)
def test_a_content_key_is_made_where_one_is_needed(options, way):
    file = doors._config(options, way).audit_content_key_file
    assert (file is not None) == needs_content_key(way)
    if file is not None:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(bytes.fromhex(file.read_text())) == 32


def test_logs_of_two_doors_are_two(options):
    folders = {doors._config(options, way).audit_dir for way in ("full", "hashed", "strict")}
    assert len(folders) == 3


def test_the_pace_is_of_the_fake_engine(options):
    options.pace = 12.5
    assert doors._config(options, NOTHING).fake_tokens_per_s == 12.5
