"""Adapters' folders: one that passes, and poisoned ones that differ from it in one thing."""

from __future__ import annotations

import json
import math
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import adapter, policy, weight_headers
from models.errors import ModelNotFoundError, ModelRefusedError
from tests.models.folders import safetensors

LAYER = "model.layers.0.self_attn.q_proj"
A, B = (f"base_model.model.{LAYER}.lora_{side}.weight" for side in "AB")
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "/etc/passwd",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["q_proj"],
    "bias": "none",
    "modules_to_save": None,
    "use_dora": False,
    "rank_pattern": {},
}


def file_of(**tensors: tuple[int, ...]) -> bytes:
    """A safetensors file of float32 tensors, all zero."""
    header, position = {}, 0
    for name, shape in tensors.items():
        end = position + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(position)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An adapter of rank 2 for one layer of 8 inputs and 6 outputs."""
    path = tmp_path / "adapter"
    path.mkdir()
    (path / adapter.CONFIG).write_text(json.dumps(CONFIG))
    (path / adapter.WEIGHTS).write_bytes(file_of(**{A: (2, 8), B: (6, 2)}))
    (path / "README.md").write_text("An adapter.")
    return path


def configure(folder: Path, **changes: Any) -> None:
    (folder / adapter.CONFIG).write_text(json.dumps(CONFIG | changes))


def refused(folder: Path) -> str:
    with pytest.raises(ModelRefusedError) as caught:
        adapter.read(folder)
    return str(caught.value)


def test_a_whole_one_passes(folder: Path) -> None:
    found = adapter.read(folder)
    assert (found.path, found.rank) == (folder, 2)
    assert {name: entry.shape for name, entry in found.tensors.items()} == {A: (2, 8), B: (6, 2)}


def test_a_model_with_an_adapters_config_is_still_refused(folder: Path) -> None:
    """The exception is the adapter's alone."""
    assert [refusal.rule for refusal in policy.inspect(folder)] == ["adapter"]


@pytest.mark.parametrize("name", [adapter.CONFIG, adapter.WEIGHTS])
def test_what_lacks_a_file_is_no_adapter(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelNotFoundError, match=name):
        adapter.read(folder)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("adapter_model.bin", b"\x80\x04", "pickle"),
        ("training_args.bin", b"\x80\x04", "pickle"),
        ("modeling.py", b"", "code"),
        ("sub/adapter_config.json", b"{}", "adapter"),
        ("config.json", b'{"auto_map": {}}', "remote-code"),
        ("adapter_model.safetensors", safetensors()[:-1], "safetensors"),
    ],
)
def test_the_models_rules_hold(folder: Path, name: str, content: bytes, rule: str) -> None:
    (folder / "sub").mkdir()
    (folder / name).write_bytes(content)
    assert f"({rule})" in refused(folder)


def test_links_lead_nowhere(folder: Path, tmp_path: Path) -> None:
    (folder / adapter.WEIGHTS).rename(tmp_path / "elsewhere.safetensors")
    (folder / adapter.WEIGHTS).symlink_to(tmp_path / "elsewhere.safetensors")
    assert "(symlink)" in refused(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"peft_type": ["LORA"]}, "peft_type is"),
        ({"task_type": "SEQ_CLS"}, "task_type is 'SEQ_CLS'"),
        ({"task_type": ["CAUSAL_LM"]}, "task_type is"),
        ({"r": 0}, "r is 0: 1 to 512"),
        ({"r": 513}, "r is 513"),
        ({"r": True}, "r is True"),
        ({"r": "2"}, "r is '2'"),
        ({"lora_alpha": math.inf}, "lora_alpha is inf"),
        ({"lora_alpha": math.nan}, "lora_alpha is nan"),
        ({"lora_alpha": 0}, "lora_alpha is 0"),
        ({"target_modules": None}, "target_modules"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"use_rslora": "yes"}, "use_rslora is 'yes'"),
        ({"use_dora": True}, "'use_dora' is refused: DoRA"),
        ({"modules_to_save": ["lm_head"]}, "'modules_to_save' is refused"),
        ({"init_lora_weights": "pissa"}, "'pissa' changes the model's own weights"),
        ({"init_lora_weights": ["x"]}, "init_lora_weights"),
        ({"layer_replication": [[0, 1]]}, "'layer_replication' is refused"),
        ({"auto_map": {"x": "y.z"}}, "'auto_map' is refused: it names code"),
        ({"auto_mapping": {"parent_library": "os"}}, "'auto_mapping' is refused"),
        ({"vllm_lora_scaling_factor": 9.0}, "not known here"),
        ({"rank_pattern": {"(a+)+$": 2}}, "no plain name"),
        ({"rank_pattern": {"q_proj": 9999}}, "rank_pattern gives q_proj"),
        ({"alpha_pattern": [1]}, "alpha_pattern is no object"),
    ],
)
def test_what_it_may_not_say(folder: Path, changes: dict[str, Any], said: str) -> None:
    configure(folder, **changes)
    assert said in refused(folder)


@pytest.mark.parametrize("text", ["[]", "nonsense", '{"r": 2, "r": 3}', "[" * 100_000])
def test_what_is_no_configuration(folder: Path, text: str) -> None:
    (folder / adapter.CONFIG).write_text(text)
    assert "not a JSON object" in refused(folder)


@pytest.mark.parametrize("key", sorted(adapter.REFUSED))
def test_a_key_that_asks_for_nothing_passes(folder: Path, key: str) -> None:
    for nothing in (None, False, [], {}):
        configure(folder, **{key: nothing})
        assert adapter.read(folder).rank == 2


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({}, "no tensors"),
        ({A: (2, 8)}, "lacks its other half"),
        ({A: (2, 8), B: (6, 3)}, "is of rank 3, and adapter_config.json says 2"),
        ({A: (2, 8), B: (12,)}, "no float matrix"),
        ({"model.layers.0.q_proj.weight": (2, 2)}, "not the A or B of a LoRA pair"),
        ({A.replace("self", "\x1b[2J"): (2, 8)}, r"'base_model.model.model.layers.0.\x1b[2J"),
        ({A.replace("lora_A", "lora_magnitude_vector"): (2, 2)}, "not the A or B"),
        ({"base_model.model.lm_head.lora_A.weight": (2, 8)}, "adapts an embedding"),
    ],
)
def test_what_its_tensors_may_not_be(
    folder: Path, tensors: dict[str, tuple[int, ...]], said: str
) -> None:
    (folder / adapter.WEIGHTS).write_bytes(file_of(**tensors))
    assert said in refused(folder)


def test_a_pattern_gives_a_layer_its_rank(folder: Path) -> None:
    (folder / adapter.WEIGHTS).write_bytes(file_of(**{A: (3, 8), B: (6, 3)}))
    configure(folder, rank_pattern={"self_attn.q_proj": 3, "q_proj": 4})
    assert adapter.read(folder).rank == 4


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({f"{LAYER}.weight": (6, 8)}, None),
        ({f"{LAYER}.weight": (8, 6)}, "of 8 inputs and 6 outputs; .* is 8 x 6"),
        ({f"{LAYER}.weight": (12, 8)}, "is 12 x 8"),
        ({"model.layers.1.self_attn.q_proj.weight": (6, 8)}, "does not have"),
        ({f"{LAYER}.weight_packed": (6, 1)}, None),
        ({f"{LAYER}.weight_packed": (6, 4)}, "packed layer is not"),
    ],
)
def test_whether_it_fits(
    folder: Path, tmp_path: Path, tensors: dict[str, tuple[int, ...]], said: str | None
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(file_of(**tensors))
    weights = {name: tensor.entry for name, tensor in weight_headers.read(model).items()}
    fault = adapter.misfit(adapter.read(folder), weights)
    if said is None:
        assert fault is None
    else:
        assert fault is not None
        assert LAYER in fault
        assert re.search(said, fault), fault


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(key=st.sampled_from([*CONFIG, "init_lora_weights", "use_rslora", "other"]), value=JSON)
def test_any_value_passes_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / adapter.WEIGHTS).write_bytes(file_of(**{A: (2, 8), B: (6, 2)}))
    configure(folder, **{key: value})
    with suppress(ModelRefusedError):
        assert adapter.read(folder).rank >= 2


def test_what_is_there_instead_of_a_file_is_named(folder: Path) -> None:
    (folder / adapter.CONFIG).unlink()
    os.mkfifo(folder / adapter.CONFIG)
    with pytest.raises(ModelNotFoundError, match=r"adapter_config\.json \(a pipe is there\)"):
        adapter.read(folder)
