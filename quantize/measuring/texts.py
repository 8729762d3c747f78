"""The texts that both models read: the built-in texts, or files of the user's.

The built-in ones are this project's own: a story in English, one in Chinese, and a Python module;
some 650 tokens each. Nothing is calibrated on them, here or in quantize/calibrate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models import plain_file
from quantize.errors import OptionError

BUILT_IN = ("english", "chinese", "code")
LONGEST = 800
"""Tokens that are taken of a built-in text: vocabularies without Chinese need three times as many
for the same."""
LONGEST_OWN = 4096
MAX_TEXT_BYTES = 1 << 30
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
    texts = []
    for file in files:
        try:
            content = plain_file.read_text(file, MAX_TEXT_BYTES, may_be_link=True, may_be_pipe=True)
        except OSError as error:
            raise OptionError(
                f"the text {file} cannot be read: {error.strerror or error}. Name a file of plain "
                "text in UTF-8."
            ) from None
        texts.append(Text(name=file.name, content=content, most_tokens=LONGEST_OWN))
    return tuple(texts)
