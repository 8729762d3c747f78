"""The home of llmcompressor, with modules of its shape where the library would be."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from models.refs import QuantScheme
from quantize.calibrate import llm_compressor
from quantize.errors import OptionError, QuantizeError
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions, SchemePlan
from quantize.protocol import Method
from tests.quantize.source_tensors import model
from tests.tiny_models import write_tokenizer


class Modifier:
    def __init__(self, **settings: Any) -> None:
        self.settings = settings


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Modifier]]:
    """Names as in llmcompressor 0.14."""
    kinds = {
        name: type(name, (Modifier,), {})
        for name in ("GPTQModifier", "QuantizationModifier", "AWQModifier")
    }
    homes = {
        "llmcompressor": {},
        "llmcompressor.modifiers": {"Modifier": Modifier},
        "llmcompressor.modifiers.gptq": {"GPTQModifier": kinds["GPTQModifier"]},
        "llmcompressor.modifiers.quantization": {
            "QuantizationModifier": kinds["QuantizationModifier"]
        },
        "llmcompressor.modifiers.transform": {},
        "llmcompressor.modifiers.transform.awq": {"AWQModifier": kinds["AWQModifier"]},
    }
    for name, content in homes.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return kinds


def planned(method: Method) -> SchemePlan:
    options = QuantOptions(scheme=QuantScheme.INT4, method=method, is_symmetric=True)
    return plan(model(), {}, options)[0]


def test_it_is_looked_for_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not llm_compressor.is_here()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "llmcompressor" or None)
    assert llm_compressor.is_here()
    assert "make calibrate-env" in llm_compressor.MISSING


def test_the_recipe_has_the_plans_table_and_an_end_of_layers(library: dict[str, Any]) -> None:
    made = planned(Method.GPTQ)
    gptq, _ = llm_compressor._recipe(made, print)
    assert type(gptq) is library["GPTQModifier"]
    table = made.config["quantization_config"]
    assert gptq.settings == {"config_groups": table["config_groups"], "ignore": table["ignore"]}
    scaling, rounding, _ = llm_compressor._recipe(planned(Method.AWQ), print)
    assert type(scaling) is library["AWQModifier"]
    assert (type(rounding), rounding.settings) == (library["QuantizationModifier"], gptq.settings)


def test_a_layer_that_is_done_tells_its_bytes(library: dict[str, Any]) -> None:
    done: list[int] = []
    *_, layer_done = llm_compressor._recipe(planned(Method.GPTQ), done.append)
    assert layer_done.on_initialize(None)
    modules = [torch.nn.Linear(4, 8), torch.nn.LayerNorm(4), torch.nn.Linear(8, 2).bfloat16()]
    layer_done.on_sequential_epoch_end(None, None, modules)
    assert done == [4 * 32 + 2 * 16]


def test_an_error_of_the_library_is_one_of_ours(
    library: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def oneshot(**settings: Any) -> None:
        assert settings["num_calibration_samples"] == 2
        assert settings["max_seq_length"] == 3
        assert settings["pipeline"] == "sequential"
        raise ValueError("no such layer")

    monkeypatch.setattr(sys.modules["llmcompressor"], "oneshot", oneshot, raising=False)
    monkeypatch.setattr(llm_compressor, "_quieten", lambda: None)
    monkeypatch.setattr(llm_compressor, "_pin_nothing", lambda: None)
    loader = SimpleNamespace(from_pretrained=lambda *_, **__: None)
    monkeypatch.setattr("transformers.AutoModelForCausalLM", loader)
    with pytest.raises(QuantizeError, match="llmcompressor cannot calibrate this model: no such"):
        llm_compressor.calibrate(
            tmp_path,
            tmp_path / "out",
            plan=planned(Method.GPTQ),
            samples=[[1, 2, 3], [4, 5, 6]],
            on_layer=print,
        )


def test_samples_are_batches_of_one_without_padding() -> None:
    (batch,) = llm_compressor._batches([[1, 2, 3]])
    assert batch["input_ids"].tolist() == [[1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1]]


def test_parts_are_one_row_of_tokens_without_marks_between(tmp_path: Path) -> None:
    reader = llm_compressor.Reader(write_tokenizer(tmp_path))
    one, other = reader.tokens(["import"]), reader.tokens(["json"])
    assert reader.tokens(["import", "json"]) == one + other


def test_messages_that_cannot_be_rendered_are_an_error_of_the_text(tmp_path: Path) -> None:
    render = llm_compressor.Reader(write_tokenizer(tmp_path)).render
    assert render([{"role": "user", "content": "a"}], None) == "<|im_start|>user\na<|im_end|>\n"
    with pytest.raises(OptionError, match="--text: its messages cannot be rendered"):
        render([{"role": "user", "content": "a"}], [5])  # type: ignore[list-item]
