"""The bound of a request's body, from what the model can read.

A body cannot be useful beyond the model's context, and one within it must not be refused for its
size. Python's clients escape all that is not ASCII: six bytes a character, twelve for an emoji. To
tokenizers of today a token of English is four to five characters, one of Chinese or Korean one to
three, one of code with deep indentation ten or so; BYTES_PER_TOKEN is five times the dearest.
"""

from __future__ import annotations

from collections.abc import Callable

from serve.config import Config
from serve.service.directory import Directory

BASE_BYTES = 1_048_576
"""For what is no part of the prompt, and for models with a small context."""
BYTES_PER_TOKEN = 96
LOADING_TOKENS = 1_048_576
"""While the model loads its context is not known. No body is read then: requests get 503."""


def body_bound(config: Config, directory: Directory) -> Callable[[], int]:
    """A function that gives the most bytes of a body: as set, else by the context served now."""

    def max_bytes() -> int:
        if config.max_body_bytes is not None:
            return config.max_body_bytes
        pipeline = directory.default.pipeline
        num_tokens = LOADING_TOKENS if pipeline is None else pipeline.engine.info.max_model_len
        return BASE_BYTES + BYTES_PER_TOKEN * num_tokens

    return max_bytes
