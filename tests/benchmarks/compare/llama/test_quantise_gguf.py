"""A GGUF of llama.cpp's own type appears whole, or not at all."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.benchmarks.compare.llama.fakes import LlamaCpp, program


@pytest.fixture
def written(monkeypatch):
    library = LlamaCpp()
    monkeypatch.setattr(ctypes, "byref", lambda settings: settings)
    with program("quantise_gguf", llama_cpp=library) as module:
        yield module, library


def test_the_file_appears_whole_and_in_its_type(written, monkeypatch, tmp_path: Path) -> None:
    module, library = written
    kinds: list[int] = []
    quantise = library.llama_model_quantize

    def noted(base: bytes, out: bytes, settings) -> int:
        kinds.append(settings.ftype)
        assert not Path(tmp_path / "m.gguf").exists()
        return quantise(base, out, settings)

    monkeypatch.setattr(library, "llama_model_quantize", noted)
    module.main(tmp_path / "base.gguf", tmp_path / "m.gguf", "q4_k_m")
    assert kinds == [LlamaCpp.LLAMA_FTYPE_MOSTLY_Q4_K_M]
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_a_file_that_cannot_be_written_is_none(written, tmp_path: Path) -> None:
    module, _ = written
    with pytest.raises(SystemExit, match=r"cannot write .*broken\.gguf as q4_k_m"):
        module.main(tmp_path / "broken.gguf", tmp_path / "m.gguf", "q4_k_m")
    assert not (tmp_path / "m.gguf").exists()


def test_an_unknown_type_is_refused_before_anything_is_written(written, tmp_path: Path) -> None:
    module, _ = written
    with pytest.raises(AttributeError):
        module.main(tmp_path / "base.gguf", tmp_path / "m.gguf", "q9_9")
    assert list(tmp_path.iterdir()) == []
