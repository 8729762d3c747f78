from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serve.engine.transformers.loader.stored_scheme import RUNS
from tests.quantized_models import write_quantized
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="session")
def tiny_qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "qwen2")


@pytest.fixture
def folder(tiny_qwen2: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that may be changed."""
    return Path(shutil.copytree(tiny_qwen2, tmp_path / "copy"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By scheme, from a Qwen2 of bfloat16, whose head is its embedding; not to be changed.

    Of int4 q, k and v have 8 bits, whatever is its default.
    """
    root = tmp_path_factory.mktemp("quantized")
    source = write_tiny_model(root / "full", dtype="bfloat16")
    options = {"sensitive": r"\b[qkv]_proj$"}
    return {"none": source} | {
        scheme: write_quantized(source, root / scheme, scheme, **options) for scheme in RUNS
    }


@pytest.fixture
def int8(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the int8 checkpoint that may be changed."""
    return Path(shutil.copytree(folders["int8"], tmp_path / "copy"))


@pytest.fixture
def int4(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["int4"], tmp_path / "copy"))
