"""How a model was made, out of what its maker printed."""

from __future__ import annotations

import json

import pytest

from benchmarks.quality.making import read_making
from benchmarks.quality.report import Making
from models.trust.manifest import Manifest
from tests.benchmarks.quality.reports import DIGEST
from tests.models.folders import whole


def test_what_the_maker_printed_is_read_for_that_model_alone(tmp_path):
    folder = whole(tmp_path / "m")
    manifest = Manifest.build(folder)
    manifest.write(folder)
    event = {"event": "done", "report": {"seconds": 2.5, "peak_memory_bytes": 7}}
    path = tmp_path / "made.jsonl"
    path.write_text('{"event": "plan"}\n' + json.dumps(event | {"digest": manifest.digest}))
    assert read_making(path, folder) == Making(seconds=2.5, peak_memory_bytes=7)
    path.write_text(json.dumps(event | {"digest": DIGEST}))
    with pytest.raises(ValueError, match="is of sha256:1111"):
        read_making(path, folder)
    path.write_text('{"event": "done", "report": null}')
    with pytest.raises(ValueError, match="is not of a model that"):
        read_making(path, folder)
