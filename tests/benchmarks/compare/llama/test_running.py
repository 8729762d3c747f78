"""llama.cpp is started for a comparison, or is missing with a hint."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.compare.llama import running as llama
from benchmarks.compare.systems import Bench, MissingError
from models.refs import QuantScheme
from models.store import demo


def bench(tmp_path: Path, python: Path | None) -> Bench:
    return Bench(full=demo(), cache_dir=tmp_path, dtype="auto", cases=(), llama_python=python)


@pytest.mark.parametrize("python", [None, Path("/nowhere/python"), Path(sys.executable)])
async def test_without_llama_cpp_it_says_how_to_get_it(python: Path | None, tmp_path: Path) -> None:
    """This interpreter has no gguf either, so it stands for one without what is needed."""
    with pytest.raises(MissingError, match="pip install llama-cpp-python"):
        await llama.start(bench(tmp_path, python), QuantScheme.INT8)
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if "gguf" in name]
