"""The texts around an answer that its client has: the one it goes on from, and the one behind it.

Whoever reads the answer reads them as one text, so what is looked for may lie across their edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve.pipeline.events import ChatPrompt, FillPrompt, Generation, Prompt, TextPrompt


@dataclass(frozen=True, slots=True)
class Around:
    """The texts around one answer.

    Attributes:
        before: a completion's prompt, or the message that is continued; empty where the answer
            begins a message, and where a prompt is token ids, whose text is not known.
        after: a completion's suffix.
    """

    before: str = ""
    after: str = ""


NOTHING_AROUND = Around()


def candidates_of(generation: Generation) -> int:
    """The candidates of each prompt: that of index ``i`` is of prompt ``i // candidates``."""
    return generation.best_of or generation.n


def around(prompt: Prompt) -> Around:
    """The texts around the answers to a prompt."""
    if isinstance(prompt, TextPrompt):
        return Around(prompt.text)
    if isinstance(prompt, FillPrompt):
        return Around(prompt.prefix, prompt.suffix)
    if isinstance(prompt, ChatPrompt) and prompt.continues_last and prompt.messages:
        return Around(_content(prompt.messages[-1]))
    return NOTHING_AROUND


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
    return "".join(text for text in texts if isinstance(text, str))
