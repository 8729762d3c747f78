"""How a model was made, out of what its maker printed."""

from __future__ import annotations

import json

import pytest

from benchmarks.quality.making import read_making
from benchmarks.quality.report import Making
from models.errors import ManifestError
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


@pytest.mark.parametrize("text", ["", '{"event": "done"}', "[]", "3"])
def test_what_is_no_run_is_refused_by_its_file(tmp_path, text):
    path = tmp_path / "made.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"made\.jsonl: its last line"):
        read_making(path, tmp_path)


def test_a_folder_without_a_manifest_has_nothing_to_compare_with(tmp_path):
    event = {"event": "done", "digest": DIGEST, "report": {"seconds": 1, "peak_memory_bytes": 1}}
    path = tmp_path / "made.jsonl"
    path.write_text(json.dumps(event))
    with pytest.raises(ManifestError):
        read_making(path, tmp_path)
