"""The settings of the transformers engine alone; with another engine they are an error."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

DEFAULT_FILE_BYTES = 1 << 30
"""Of a saved prefix cache: some 80,000 tokens of a 0.5B model, 8,000 of an 8B one."""


class TransformersSection(BaseModel):
    """Settings that the transformers engine alone heeds."""

    prompt_lookup: bool | None = Field(
        None,
        description="transformers: guess next tokens from the prompt and the answer so far, and "
        "check several in one step, where that is exact: on a CPU, in the compiled loops. The "
        "answers are the same; edits and quotes come faster. Default: on.",
    )
    num_speculative_tokens: int | None = Field(
        None,
        ge=1,
        le=31,
        description="transformers: most guesses of a sequence in one step; fewer are made where "
        "they prove wrong, or many sequences run. Default: 15.",
    )
    prefix_cache_dir: Path | None = Field(
        None,
        description="transformers: folder that keeps the prefix cache from one run to the next: "
        "saved when the server is stopped, loaded when it starts. This user's own, and closed to "
        "others: what is in it is as confidential as the prompts. Default: it is not kept.",
    )
    prefix_cache_file_bytes: int = Field(
        DEFAULT_FILE_BYTES,
        ge=1 << 20,
        description="transformers: most bytes of the saved prefix cache, the hottest first. Four "
        "such files are kept at most, of other models or versions.",
    )
    prefix_cache_key_file: Path | None = Field(
        None,
        description="transformers: file of 32 bytes, in hexadecimal digits or base64, that the "
        "saved prefix cache is encrypted with. Default: a key in --prefix-cache-dir itself, which "
        "keeps nothing from who can read that folder.",
    )
