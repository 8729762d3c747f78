"""The response cache: answers that are given again to the same tenant for the same request."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class ResponseCacheSection(BaseModel):
    """Settings of the response cache."""

    response_cache: Literal["off", "memory", "shared"] = Field(
        "off",
        description="Keep whole answers, and give them again to the same tenant for the very same "
        "request where its temperature is 0 or it has a seed: in this process' `memory`, or "
        "`shared` by all replicas in the server of --cache-url-file, encrypted under "
        "--response-cache-key-file.",
    )
    response_cache_bytes: int = Field(
        256 << 20,
        ge=1 << 20,
        description="Most bytes that kept answers take; those unused for longest go first. With "
        "`shared` in the server's memory, for all replicas.",
    )
    response_cache_entries: int = Field(100_000, ge=1, description="Most answers that are kept.")
    response_cache_max_age_s: float = Field(
        3600.0,
        ge=1,
        le=30 * 86_400,
        description="Seconds after which a kept answer is given to nobody any more.",
    )
    response_cache_key_file: Path | None = Field(
        None,
        description="File of a secret of 32 bytes, such as `openssl rand -hex 32` gives, mode 600: "
        "names and contents of shared answers are made with it. Replicas that share answers share "
        "it; a new secret forgets all of them.",
    )
