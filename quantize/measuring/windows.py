"""Texts in a model's own tokens, cut into windows that it reads side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoTokenizer

from quantize.errors import OptionError, QuantizeError
from quantize.measuring.texts import Text

LENGTH = 512
"""Tokens of a window at most; each begins with nothing before it."""
BATCH_TOKENS = 2560
"""Tokens of the windows that go through the model together; each batch reads all weights once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some tokens of a text.

    Attributes:
        text: its number.
        tokens: what the model reads, the mark of a beginning included where there is one.
        first: position of the first whose successor is predicted.
    """

    text: int
    tokens: tuple[int, ...]
    first: int

    @property
    def num_predicted(self) -> int:
        return len(self.tokens) - 1 - self.first


def of_texts(model: Path, texts: Sequence[Text], longest: int) -> list[Window]:
    """The texts in the model's own tokens: each in windows of nearly the same length.

    Args:
        model: its folder.
        texts: what is to be read.
        longest: positions that the model has.

    Raises:
        QuantizeError: the folder has no tokenizer that can be read.
        OptionError: a text is of fewer than two tokens.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            model, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise QuantizeError(f"transformers cannot read the tokenizer of {model.name}.") from error
    begins: list[int] = tokenizer("").input_ids
    if not begins and type(tokenizer).__name__.startswith("Gemma"):
        begins = [tokenizer.bos_token_id]  # without which these models find no sense in anything
    windows: list[Window] = []
    for number, text in enumerate(texts):
        ids = tokenizer(text.content, add_special_tokens=False, verbose=False).input_ids
        ids = ids[: text.most_tokens]
        if len(ids) < 2:
            raise OptionError(f"the text {text.name} is {len(ids)} tokens, and 2 are needed.")
        size = min(LENGTH, longest - len(begins))
        count = -(-len(ids) // size)
        for part in torch.tensor(ids).tensor_split(count):
            tokens = (*begins, *part.tolist())
            windows.append(Window(text=number, tokens=tokens, first=max(0, len(begins) - 1)))
    return windows


def batches(windows: Sequence[Window], most_tokens: int = BATCH_TOKENS) -> Iterator[list[Window]]:
    """Windows that go through the model together, in order; at least one."""
    batch: list[Window] = []
    for window in windows:
        longest = max(len(other.tokens) for other in (*batch, window))
        if batch and longest * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(window)
    yield batch


def padded(batch: Sequence[Window]) -> torch.Tensor:
    """int64 ``[windows, longest]``; shorter ones are filled up at their end, where no position that
    counts sees it.
    """
    longest = max(len(window.tokens) for window in batch)
    return torch.tensor(
        [
            (*window.tokens, *(window.tokens[-1:] * (longest - len(window.tokens))))
            for window in batch
        ]
    )
