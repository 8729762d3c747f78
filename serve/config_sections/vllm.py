"""The settings of the vLLM engine alone; with another engine they are an error."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class VllmSection(BaseModel):
    """Settings that vLLM alone heeds."""

    tensor_parallel_size: int = Field(
        1, ge=1, description="vLLM: devices that share each layer of the model."
    )
    pipeline_parallel_size: int = Field(
        1, ge=1, description="vLLM: groups of devices that each hold some of the layers."
    )
    distributed_executor_backend: Literal["auto", "ray"] = Field(
        "auto",
        description="vLLM: where its workers run. `auto` is this machine; `ray` the nodes of the "
        "Ray cluster in RAY_ADDRESS, which must reach VLLM_HOST_IP.",
    )
    gpu_memory_utilization: float | None = Field(
        None,
        gt=0,
        le=1,
        description="vLLM: share of the GPU's memory that it takes; on a CPU, the KV cache's share "
        "of the memory that the weights leave free. Default: vLLM's own; 0.5 on a CPU.",
    )
    enable_prefix_caching: bool | None = Field(
        None,
        description="vLLM: reuse the KV cache of prompts that begin alike, each API key its own. "
        "Default: on.",
    )
    kv_cache_dtype: Literal["auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"] = Field(
        "auto", description="vLLM: type of the KV cache; `auto` takes the model's."
    )
    enforce_eager: bool = Field(
        False, description="vLLM: no compiled graphs. Starts sooner, decodes more slowly."
    )
    engine_arg: tuple[str, ...] = Field(
        (),
        description="vLLM: NAME=VALUE of any other engine argument of the installed vLLM; values "
        "are JSON or plain text.",
    )
    lora: tuple[str, ...] = Field(
        (),
        description="vLLM: NAME=PATH of a LoRA adapter's folder; clients ask for it by NAME as for "
        "a model.",
    )
    max_loras: int | None = Field(
        None,
        ge=1,
        description="vLLM: most adapters in one batch; each takes memory. Default: all of them, at "
        "most 8; on a CPU all of them.",
    )
    max_lora_rank: int | None = Field(
        None,
        ge=1,
        le=512,
        description="vLLM: highest rank of an adapter. Default: the adapters' own.",
    )
    engine_stall_timeout: float = Field(
        120.0,
        gt=0,
        description="Seconds without a step while requests run, after which the vLLM engine counts "
        "as hung and is restarted.",
    )

    @cached_property
    def adapters(self) -> dict[str, Path]:
        """Folders of the LoRA adapters, by the names under which clients ask for them."""
        pairs = (given.partition("=") for given in self.lora)
        return {name: Path(path).expanduser() for name, _, path in pairs}
