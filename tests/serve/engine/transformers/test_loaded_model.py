"""A folder's model in memory, and what is made beside it before an engine starts."""

from __future__ import annotations

import threading
from pathlib import Path

from serve.engine.settings import EngineSettings
from serve.engine.transformers import loaded_model
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.layers import attention
from serve.engine.transformers.model_runner import ModelRunner
from serve.engine.transformers.step_cost import LEAST_CHUNK
from tests.tiny_models import EOS_TOKEN_ID


def test_a_folder_is_loaded_and_gets_a_cache_that_fits(tiny_qwen2: Path) -> None:
    settings = EngineSettings(device="cpu", max_num_seqs=2, max_model_len=100)
    told: list[str] = []
    loaded = loaded_model.load(tiny_qwen2, settings, lambda phase, *_: told.append(phase))
    assert EOS_TOKEN_ID in loaded.eos_token_ids
    assert loaded.num_parameters > 0
    assert loaded.compiler is not None
    assert all(bool(logits.isfinite().all()) for logits in loaded.expected)
    max_model_len, cache = loaded_model.kv_cache(
        loaded.model, loaded.max_len, settings, lambda phase, *_: told.append(phase)
    )
    assert (max_model_len, cache.num_blocks) == (100, 2 * -(-100 // BLOCK_SIZE))
    assert {"load_weights", "allocate_kv"} <= set(told)
    loaded.model.set_attn_implementation(attention.IMPLEMENTATION)
    runner = ModelRunner(loaded.model, cache)
    cost = loaded_model.warmed_up(loaded.model, runner, settings, max_model_len, cache)
    assert cost is None or cost.first_chunk >= LEAST_CHUNK
    bounded = EngineSettings(device="cpu", max_num_batched_tokens=64)
    assert loaded_model.warmed_up(loaded.model, runner, bounded, max_model_len, cache) is None


def test_work_is_done_in_a_thread_that_is_gone() -> None:
    thread = loaded_model.in_a_thread_that_ends(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()
