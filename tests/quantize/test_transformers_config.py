"""config.json as transformers has it: what is refused is said by key and value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import ModelRefusedError
from quantize import transformers_config
from quantize.transformers_config import is_foreign, read

QWEN2 = {"model_type": "qwen2", "hidden_size": 128, "num_attention_heads": 4, "vocab_size": 1000}
HERE = Path("/somewhere/m")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": None}, "names no model_type"),
        ({"model_type": "Qwen2"}, "knows no model of the kind 'Qwen2'"),
        ({"vocab_size": "1000"}, "vocab_size is '1000', which is not a whole number"),
        ({"sliding_window": "9"}, "sliding_window is '9', which is not a whole number or null"),
        ({"num_hidden_layers": 2, "layer_types": ["full_attention"]}, "(2) must be equal to"),
        ({"hidden_act": "foo"}, "hidden_act is 'foo' in its config.json, which transformers does"),
        ({"rope_scaling": {"type": "foo"}}, "rope_type is 'foo' in its config.json; transformers"),
        ({"model_type": "mamba", "layer_types": ["full_attention"]}, "layer_types"),
    ],
    ids=str,
)
def test_a_refusal_names_the_key_and_the_value(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelRefusedError) as refusal:
        read(HERE, QWEN2 | changes)
    text = str(refusal.value)
    assert text.startswith("m: ")
    assert said in text
    assert text.endswith("Correct config.json, or fetch the model anew.")
    for foreign in ("Error", "NoneType", "class '", "somewhere"):
        assert foreign not in text


def test_what_a_folders_makers_set_for_their_own_programs_is_undone() -> None:
    odd = {"return_dict": False, "output_attentions": True, "head_dim": None, "pad_token_id": 5000}
    config = read(HERE, QWEN2 | odd)
    assert config.return_dict is True
    assert config.output_attentions is False
    assert not hasattr(config, "head_dim")
    assert config.pad_token_id is None
    assert read(HERE, QWEN2 | {"pad_token_id": 999}).pad_token_id == 999


def test_infinity_is_read_as_transformers_writes_it() -> None:
    hybrid = {"model_type": "granitemoehybrid", "time_step_limit": [0.0, {"__float__": "Infinity"}]}
    assert list(read(HERE, QWEN2 | hybrid).time_step_limit) == [0.0, float("inf")]


def test_what_some_families_take_no_null_for_is_what_it_means() -> None:
    mistral = QWEN2 | {"model_type": "mistral", "num_key_value_heads": None}
    assert read(HERE, mistral).num_key_value_heads == 4


def test_a_text_models_own_keys_stand_at_the_top() -> None:
    config = read(HERE, QWEN2 | {"text_config": {"hidden_size": 8}})
    assert config.get_text_config().hidden_size == 128


def test_no_other_file_is_followed_and_nothing_is_changed(tmp_path: Path) -> None:
    """transformers itself reads the file that ``configuration_files`` names for its release."""
    (tmp_path / "config.5.0.0.json").write_text('{"model_type": "llama", "hidden_size": 8}')
    plain = QWEN2 | {"configuration_files": ["config.5.0.0.json"], "rope_scaling": {}}
    before = {**plain}
    config = read(tmp_path, plain)
    assert (config.model_type, config.hidden_size) == ("qwen2", 128)
    assert plain == before


def test_a_mistral_of_several_kinds_of_layers_is_what_transformers_takes_it_for() -> None:
    kinds = ["full_attention", "sliding_attention"]
    mistral = QWEN2 | {"model_type": "mistral", "num_hidden_layers": 2, "sliding_window": 8}
    assert read(HERE, mistral).model_type == "mistral"
    assert read(HERE, mistral | {"layer_types": kinds}).model_type == "ministral"


def test_a_kind_that_transformers_does_not_know_is_foreign() -> None:
    assert is_foreign({"model_type": "nonesuch"})
    assert not is_foreign(QWEN2)
    assert not is_foreign({})  # it is nobody's
    assert transformers_config.read(HERE, QWEN2).vocab_size == 1000
