"""What both models read: windows of the built-in texts, or of files of the user's.

The built-in ones are this project's own: a story in English, one in Chinese, and a Python module;
some 650 tokens each. Nothing is calibrated on them, here or in quantize/calibrate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoTokenizer

from quantize.errors import OptionError, QuantizeError

BUILT_IN = ("english", "chinese", "code")
WINDOW = 512
"""Tokens at most; each begins with nothing before it."""
LONGEST = 800
"""Tokens that are taken of a built-in text: vocabularies without Chinese need three times as many
for the same."""
LONGEST_OWN = 4096
BATCH_TOKENS = 2560
"""Of the windows that go through the model together: memory grows with them."""
_FOLDER = Path(__file__).with_name("texts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text to be read.

    Attributes:
        name: ``english``, or the file's.
        most_tokens: that are taken of it.
    """

    name: str
    content: str
    most_tokens: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


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


def built_in() -> tuple[Text, ...]:
    """The texts that are measured with where none are named."""
    return tuple(
        Text(
            name=name,
            content=(_FOLDER / f"{name}.txt").read_text("utf-8"),
            most_tokens=LONGEST,
        )
        for name in BUILT_IN
    )


def of_files(files: Sequence[Path]) -> tuple[Text, ...]:
    """The user's own.

    Raises:
        OptionError: one cannot be read.
    """
    found = []
    for file in files:
        try:
            content = file.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise OptionError(
                f"--measure-text {file} cannot be read as UTF-8 text: {error}"
            ) from None
        found.append(Text(name=file.name, content=content, most_tokens=LONGEST_OWN))
    return tuple(found)


def windows(model: Path, texts: Sequence[Text], longest: int) -> list[Window]:
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
    found: list[Window] = []
    for number, text in enumerate(texts):
        ids = tokenizer(text.content, add_special_tokens=False).input_ids[: text.most_tokens]
        if len(ids) < 2:
            raise OptionError(f"the text {text.name} is {len(ids)} tokens, and 2 are needed.")
        size = min(WINDOW, longest - len(begins))
        count = -(-len(ids) // size)
        for part in torch.tensor(ids).tensor_split(count):
            tokens = (*begins, *part.tolist())
            found.append(Window(text=number, tokens=tokens, first=max(0, len(begins) - 1)))
    return found


def batches(found: Sequence[Window]) -> Iterator[list[Window]]:
    """Windows that go through the model together, in order."""
    batch: list[Window] = []
    for window in found:
        longest = max(len(each.tokens) for each in (*batch, window))
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
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
