from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from models import reports

DIGEST = "sha256:" + "1" * 64
REPORT = {
    "engine": "transformers",
    "agreement": {"all": {"top1": 0.99, "kl": {"mean": 0.001}, "ratio": {"value": 1.5}}},
    "quantised": {"digest": DIGEST, "bits_per_weight": 8.25},
    "failed": [],
}


def summary_of(data_dir, document=REPORT, digest=DIGEST):
    path = reports.path_of(data_dir, "m--int8")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return reports.summary(data_dir, "m--int8", digest)


def test_reports_lie_beside_the_store(tmp_path, monkeypatch):
    assert reports.path_of(tmp_path, "m") == tmp_path / "reports" / "m.json"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert reports.path_of(Path("~/data"), "m") == tmp_path / "data" / "reports" / "m.json"


def test_a_report_is_one_line_for_people(tmp_path):
    found = summary_of(tmp_path)
    assert found["of_these_bytes"]
    assert reports.in_words(found) == (
        "top-1 99.00%, KL 1.00e-03, perplexity x 1.5000, 8.25 bits per weight (transformers engine)"
    )


@pytest.mark.parametrize("digest", ["sha256:" + "2" * 64, None])
def test_a_report_of_other_bytes_says_so(tmp_path, digest):
    found = summary_of(tmp_path, digest=digest)
    assert not found["of_these_bytes"]
    assert reports.in_words(found).endswith("; of other bytes than are here now")


def test_what_was_not_measured_is_left_out(tmp_path):
    overall = {"top1": 1.0, "kl": None, "ratio": None}
    found = summary_of(tmp_path, REPORT | {"agreement": {"all": overall}})
    assert (found["kl_mean"], found["perplexity_ratio"]) == (None, None)
    assert reports.in_words(found).startswith("top-1 100.00%, 8.25 bits")


def test_failed_gates_are_named(tmp_path):
    found = summary_of(tmp_path, REPORT | {"failed": ["top-1 is 0.9", "KL is 1"]})
    assert "; FAILED: top-1 is 0.9; KL is 1" in reports.in_words(found)


@pytest.mark.parametrize("missing", REPORT)
def test_a_report_that_lacks_something_is_none(tmp_path, missing):
    assert summary_of(tmp_path, {k: v for k, v in REPORT.items() if k != missing}) is None


def test_no_report_is_none(tmp_path):
    assert reports.summary(tmp_path, "m", DIGEST) is None


def test_a_report_that_is_no_file_is_none_and_not_waited_for(tmp_path):
    path = reports.path_of(tmp_path, "m")
    path.parent.mkdir()
    os.mkfifo(path)
    assert reports.summary(tmp_path, "m", None) is None
    path.unlink()
    path.symlink_to("/dev/zero")
    assert reports.summary(tmp_path, "m", None) is None
