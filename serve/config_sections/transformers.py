"""The settings of the transformers engine alone; with another engine they are an error."""

from __future__ import annotations

from pydantic import BaseModel, Field


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
