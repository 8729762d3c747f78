"""A folder of safetensors becomes a GGUF: values, types and the order of queries and keys."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.benchmarks.compare.llama.fakes import program

CONFIG = {
    "model_type": "qwen2",
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 1,
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "vocab_size": 10,
}


class Writer:
    """Keeps what would go into the file; the file has its name alone."""

    written: Writer

    def __init__(self, path: Path, _: str) -> None:
        self.path = path
        self.tensors: dict[str, tuple[Any, Any]] = {}
        self.facts: dict[str, Any] = {}
        Writer.written = self

    def add_tensor(self, name: str, values: Any, raw_dtype: Any = None) -> None:
        self.tensors[name] = (values, raw_dtype)

    def write_tensors_to_file(self) -> None:
        self.path.write_bytes(b"whole")

    def __getattr__(self, name: str) -> Any:
        return lambda *value: self.facts.update({name: value})


class Gguf(ModuleType):
    """Packs nothing, and names tensors as they are."""

    MODEL_ARCH = SimpleNamespace(QWEN2=1, LLAMA=2)
    MODEL_ARCH_NAMES = MappingProxyType({1: "qwen2", 2: "llama"})

    class GGMLQuantizationType:
        F16 = "F16"

        def __class_getitem__(cls, name: str) -> str:
            return name

    GGUFWriter = Writer
    quants = SimpleNamespace(quantize=lambda values, _: values)

    @staticmethod
    def get_tensor_name_map(*_: object) -> SimpleNamespace:
        return SimpleNamespace(get_name=lambda name, **_: name)


@pytest.fixture
def gguf_program():
    with program("write_gguf", gguf=Gguf("gguf")) as module:
        yield module


def folder(path: Path, tensors: dict[str, torch.Tensor], **config: Any) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG | config))
    save_file(tensors, path / "model.safetensors")
    return path


def test_every_stored_type_is_read_as_it_is(gguf_program, tmp_path: Path) -> None:
    values = torch.tensor([[1.5, -2.0, 1024.0, 0.125]])
    dtypes = {"a": torch.bfloat16, "b": torch.float16, "c": torch.float32}
    model = folder(tmp_path / "m", {name: values.to(dtype) for name, dtype in dtypes.items()})
    read = dict(gguf_program._tensors(model))
    assert sorted(read) == ["a", "b", "c"]
    for found in read.values():
        assert found.dtype == np.float32
        assert found.tolist() == values.tolist()


def test_rows_that_blocks_do_not_divide_stay_f16_and_vectors_stay_as_they_are(
    gguf_program, tmp_path: Path
) -> None:
    tensors = {"even": torch.ones(2, 64), "odd": torch.ones(2, 33), "norm": torch.ones(64)}
    gguf_program.main(folder(tmp_path / "m", tensors), tmp_path / "m.gguf", "q8_0")
    assert {name: dtype for name, (_, dtype) in Writer.written.tensors.items()} == {
        "even": "Q8_0",
        "odd": "F16",
        "norm": None,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.gguf"]


def test_llamas_queries_take_neighbours_for_the_rotation_and_qwens_do_not(
    gguf_program, tmp_path: Path
) -> None:
    weight = torch.arange(8.0)[:, None].expand(8, 64).contiguous()
    name = "model.layers.0.self_attn.q_proj.weight"
    orders = {}
    for family in ("llama", "qwen2"):
        model = folder(tmp_path / family, {name: weight}, model_type=family)
        gguf_program.main(model, tmp_path / f"{family}.gguf", "f16")
        orders[family] = Writer.written.tensors[name][0][:, 0].tolist()
    assert orders["qwen2"] == list(range(8))
    # Two heads of four: within each, the first half's rows alternate with the second's.
    assert orders["llama"] == [0, 2, 1, 3, 4, 6, 5, 7]


def test_where_the_configuration_is_silent_llamas_defaults_stand(
    gguf_program, tmp_path: Path
) -> None:
    gguf_program.main(folder(tmp_path / "m", {"a": torch.ones(2, 64)}), tmp_path / "o.gguf", "f16")
    facts = Writer.written.facts
    assert facts["add_rope_dimension_count"] == (32,)
    assert facts["add_rope_freq_base"] == (10_000.0,)
    assert facts["add_tokenizer_model"] == ("no_vocab",)


def test_another_family_is_refused_by_name(gguf_program, tmp_path: Path) -> None:
    model = folder(tmp_path / "m", {"a": torch.ones(2, 64)}, model_type="gemma3")
    with pytest.raises(SystemExit, match="gemma3: only qwen2 and llama"):
        gguf_program.main(model, tmp_path / "m.gguf", "f16")
    assert not (tmp_path / "m.gguf").exists()
