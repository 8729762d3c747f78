"""The committed weights: their form, and what they must reach on the evaluation."""

from __future__ import annotations

import json

import pytest
from safetensors import safe_open

from models import catalog
from models.demo import checkpoint
from models.demo.evaluate import WEIGHTS, evaluate, scores
from models.trust.verify import verify

FLOORS = {"all": 0.85, "product": 0.95, "sums": 0.80}


def test_the_folder_is_complete_and_small() -> None:
    names = {p.name for p in WEIGHTS.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    assert (WEIGHTS / "model.safetensors").stat().st_size <= 14_000_000


def test_the_manifest_is_theirs() -> None:
    report = verify(WEIGHTS)
    report.require_ok()
    assert report.manifest.licence == catalog.load()["demo"].licence == checkpoint.LICENCE


def test_the_architecture_is_qwen2_in_bfloat16() -> None:
    config = json.loads((WEIGHTS / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    assert config["hidden_size"] % 128 == 0
    assert config["intermediate_size"] % 128 == 0
    assert config["hidden_size"] // config["num_attention_heads"] == 64
    assert config["max_position_embeddings"] == 2048
    assert config["dtype"] == "bfloat16"
    with safe_open(WEIGHTS / "model.safetensors", "pt") as file:
        assert {file.get_slice(k).get_dtype() for k in file.keys()} == {"BF16"}  # noqa: SIM118


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[int, int]]:
    return scores(evaluate())


@pytest.mark.parametrize(("category", "floor"), FLOORS.items())
def test_the_score_reaches_its_floor(
    found: dict[str, tuple[int, int]], category: str, floor: float
) -> None:
    right, of = found[category]
    assert right / of >= floor, found
