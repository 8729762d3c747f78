"""Indexes against the shards beside them. Each lie alone is in the corpus of poisoned folders."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rules import shard_index
from tests.models.benign import sharded
from tests.models.folders import whole
from tests.models.poison import INDEX


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = whole(tmp_path_factory.mktemp("index") / "m")
    sharded(made)
    return made


def test_a_true_index(folder):
    assert shard_index.fault(folder / INDEX) is None


@given(data=st.data())
def test_any_change_of_the_map_is_found(folder, data):
    """A tensor moved to another shard, renamed, or given a shard that is not there."""
    document = json.loads((folder / INDEX).read_text())
    tensor = data.draw(st.sampled_from(sorted(document["weight_map"])))
    held = document["weight_map"].pop(tensor)
    names = sorted({*document["weight_map"].values(), held})
    name = data.draw(st.sampled_from([tensor, "x"]))
    shard = data.draw(st.sampled_from([*names, "none.safetensors"]))
    document["weight_map"][name] = shard
    path = folder / ("changed-" + INDEX)
    path.write_text(json.dumps(document))
    is_true = (name, shard) == (tensor, held)
    assert (shard_index.fault(path) is None) == is_true


def test_a_damaged_shard_is_refused_on_its_own_account(tmp_path):
    made = whole(tmp_path / "m")
    sharded(made)
    (made / "model-00002-of-00003.safetensors").write_bytes(b"")
    assert shard_index.fault(made / INDEX) is None


def test_an_index_of_one_file(tmp_path):
    made = whole(tmp_path / "m")
    (made / INDEX).write_text(json.dumps({"weight_map": {"t": "model.safetensors"}}))
    assert shard_index.fault(made / INDEX) is None


def test_size(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_index, "MAX_INDEX_BYTES", 3)
    (tmp_path / INDEX).write_text('{"a": 1}')
    assert "at most 3" in shard_index.fault(tmp_path / INDEX)
