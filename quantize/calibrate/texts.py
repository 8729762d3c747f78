"""The text that a model is calibrated on, and its windows of tokens of one length.

A text is a ``.txt`` file, or a ``.jsonl`` file whose lines have ``text``, or ``messages`` (and
perhaps ``tools``) that the model's own chat template makes a text of. All of it is one row of
tokens, cut into windows: nothing is padded, and a window may hold the end of one text and the
beginning of the next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import plain_file
from models.refs import Artifact
from models.store import DEMO_WEIGHTS
from quantize.errors import OptionError
from quantize.measuring.texts import MAX_TEXT_BYTES

Render = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None], str]
"""Messages and tools to the text that the model was trained to read."""


DEMO_SHARD = 100_000
"""A shard of the built-in model's corpus; those it was trained on have lower numbers."""
_DEMO_CONVERSATIONS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A calibration text.

    Attributes:
        name: for the plan.
        parts: what it consists of.
    """

    name: str
    parts: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Over the parts; for the manifest of what is made with it."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(hashlib.sha256(part.encode()).digest())
        return digest.hexdigest()


def renderer(tokenizer: Any) -> Render:
    """Rendering by the chat template of transformers' ``tokenizer``.

    It raises OptionError: the template takes no such messages.
    """

    def render(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        try:
            text: str = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
        except (ValueError, TypeError, KeyError) as error:
            raise OptionError(
                f"the messages of the calibration text cannot be rendered: {error}"
            ) from None
        return text

    return render


def text_of(file: Path | None, model: Artifact, render: Render) -> Text:
    """The text of a file; of the built-in model's corpus where none is named.

    Raises:
        OptionError: it cannot be read, holds something else, or none is named for another model.
    """
    if file is not None:
        return read(file, render)
    if model.path != DEMO_WEIGHTS:
        raise OptionError(
            "--text FILE: calibration needs a text of the kind that the model will read: .txt, or "
            ".jsonl with text or messages in each line. Some 100,000 tokens are enough."
        )
    return _of_demo()


def read(file: Path, render: Render) -> Text:
    """The text of a file.

    Raises:
        OptionError: it cannot be read, or holds something else.
    """
    return Text(name=file.name, parts=tuple(_read(file, render)))


def windows(tokens: Sequence[int], length: int, count: int) -> list[list[int]]:
    """Windows, at most ``count``, evenly from the whole.

    Raises:
        OptionError: there is not one of ``length`` tokens.
    """
    num_whole = len(tokens) // length
    if not num_whole:
        raise OptionError(
            f"the calibration text has {len(tokens)} tokens, and a sample has {length}. Take a "
            "longer text, or a smaller --length."
        )
    num_taken = min(num_whole, count)
    starts = [index * num_whole // num_taken * length for index in range(num_taken)]
    return [list(tokens[start : start + length]) for start in starts]


def _of_demo() -> Text:
    """Conversations of the generator that the built-in model's corpus is from.

    Its evaluation is of other phrasings and other numbers (models/demo/corpus.py).
    """
    from models.demo import corpus, tokenizer  # noqa: PLC0415 - for this one model

    conversations = corpus.shard(DEMO_SHARD, "last", _DEMO_CONVERSATIONS)
    return Text(name="the model's own corpus", parts=tuple(map(tokenizer.render, conversations)))


def _read(file: Path, render: Render) -> list[str]:
    try:
        whole = plain_file.read_text(file, MAX_TEXT_BYTES, may_be_link=True, may_be_pipe=True)
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror or error}") from None
    if file.suffix != ".jsonl":
        return [whole]
    lines = enumerate(whole.splitlines(), 1)
    return [_part(line, f"{file}, line {number}", render) for number, line in lines if line.strip()]


def _part(line: str, place: str, render: Render) -> str:
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    match document:
        case {"text": str(text)}:
            return text
        case {"messages": [*messages]}:
            return render(messages, document.get("tools") or None)
    raise OptionError(f"{place} is no JSON object with text or messages.")
