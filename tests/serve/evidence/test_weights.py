"""The model's part: its manifest, and every file hashed; a changed byte is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from models.store import DEMO_WEIGHTS
from models.trust.manifest import MANIFEST
from serve.config import Config
from serve.evidence.weights import weights


def silent(phase: str, done: int, total: int) -> None:
    """A progress that nobody looks at."""


def test_the_built_in_model_is_whole() -> None:
    part = weights(Config(model="demo"), silent)
    assert part.state == "whole"
    assert part.files[f"models/model/{MANIFEST}"] == (DEMO_WEIGHTS / MANIFEST).read_bytes()
    check = json.loads(part.files["models/model/check.json"])
    assert check["digest"] in part.summary
    assert (check["has_manifest"], check["signed_by"], check["pinned"]) == (True, None, None)


def test_a_changed_byte_is_said_whatever_verify_says(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(DEMO_WEIGHTS, copy)
    file = copy / "model.safetensors"
    file.chmod(0o600)
    with file.open("r+b") as weights_file:
        weights_file.seek(-1, 2)
        last = weights_file.read(1)
        weights_file.seek(-1, 2)
        weights_file.write(bytes([last[0] ^ 1]))
    part = weights(Config(model=str(copy), verify="off", data_dir=tmp_path), silent)
    assert part.state == "partly"
    assert "model.safetensors" in part.summary
    assert "fault" in json.loads(part.files["models/model/check.json"])


def test_a_folder_without_a_manifest_is_not_whole(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(DEMO_WEIGHTS, copy, ignore=shutil.ignore_patterns(MANIFEST))
    part = weights(Config(model=str(copy), data_dir=tmp_path), silent)
    assert part.state == "partly"
    assert "no manifest says which bytes were meant" in part.summary


def test_a_model_that_is_not_here_is_missing(tmp_path: Path) -> None:
    part = weights(Config(model="qwen2-7b", data_dir=tmp_path), silent)
    assert part.state == "missing"
    assert "qwen2-7b" in part.summary
