"""The windows of tokens that a model is calibrated on: of a file, or of what it writes itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from quantize.calibrate import texts
from quantize.calibrate.texts import Text
from quantize.errors import OptionError, QuantizeError
from quantize.gptq import own_text
from quantize.gptq.calibration_source import NUM_WINDOWS, SELF, WINDOW_TOKENS
from quantize.measuring.texts import built_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Windows of tokens.

    Attributes:
        name: of the text.
        sha256: of it.
        tokens: int64 ``[windows, length]``.
    """

    name: str
    sha256: str
    tokens: torch.Tensor


def take(model: Path, source: str) -> Samples:
    """The samples.

    Args:
        model: folder of the full weights.
        source: a file, .txt or .jsonl (quantize/calibrate/texts.py), or ``self``.

    Raises:
        OptionError: the file cannot be read, is too short, or is what quality is measured with.
        QuantizeError: the model has no tokenizer that can be read, or cannot be run.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            model, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise QuantizeError(f"transformers cannot read the tokenizer of {model.name}.") from error

    def render(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        text: str = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
        return text

    if source == SELF:
        text = Text(name="what the model writes itself", parts=own_text.written(model, tokenizer))
    else:
        text = texts.read(Path(source), render)
    _refuse_measured(text)
    joined = [
        token
        for part in text.parts
        for token in tokenizer(part, add_special_tokens=False, verbose=False).input_ids
    ]
    length = min(WINDOW_TOKENS, len(joined))
    windows = texts.windows(joined, max(2, length), NUM_WINDOWS)
    return Samples(name=text.name, sha256=text.sha256, tokens=torch.tensor(windows))


def _refuse_measured(text: Text) -> None:
    """Raises OptionError: it is measured with, and figures of a text that was seen say nothing."""
    lines = {line for part in text.parts for line in part.splitlines() if len(line) > 60}
    for measured in built_in():
        if lines & set(measured.content.splitlines()):
            raise OptionError(
                f"--calibrate: {text.name} holds lines of the text {measured.name!r}, which "
                "quality is measured with. Calibrate on another."
            )
