"""Folders that vLLM would fail at, refused before it starts; and what it has to be told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serve.engine import model_files
from serve.engine.vllm import stored_model
from serve.errors import StartupError
from tests.serve.engine.checkpoints import edit


def test_a_misfit_is_refused_in_the_words_of_the_other_engine(folder: Path) -> None:
    stored_model.refuse_misfit(model_files.read(folder))
    edit(folder, intermediate_size=512)
    with pytest.raises(StartupError, match=r"down_proj\.weight is stored as .*Correct config"):
        stored_model.refuse_misfit(model_files.read(folder))
    edit(folder, model_type="known-to-vllm-alone")
    stored_model.refuse_misfit(model_files.read(folder))


def test_a_quantised_checkpoint_has_other_tensors(int8: Path) -> None:
    stored_model.refuse_misfit(model_files.read(int8))


def test_weights_that_vllm_would_read_too_are_named(folder: Path) -> None:
    shutil.copyfile(folder / "model.safetensors", folder / "consolidated.safetensors")
    with pytest.raises(StartupError, match=r"consolidated\.safetensors is no part .*transformers"):
        stored_model.refuse_misfit(model_files.read(folder))


def test_the_length_that_yarn_makes_is_told() -> None:
    yarn = {"type": "yarn", "factor": 4.0}
    stated = {"max_position_embeddings": 256}
    told = {"hf_overrides": {"max_position_embeddings": 1024}}
    assert stored_model.stretched_context(stated | {"rope_scaling": yarn}) == told
    # Where both are there, the older name counts.
    both = {"rope_scaling": yarn, "rope_parameters": {"rope_type": "default"}}
    assert stored_model.stretched_context(stated | both) == told
    assert stored_model.stretched_context(stated) == {}
    assert stored_model.stretched_context(stated | {"rope_scaling": {"type": "linear"}}) == {}
