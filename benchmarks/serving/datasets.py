"""Bodies of requests, without end, the same for the same seed.

A name that says how long prompts are means tokens of the server's own count: how many tokens a word
is with its tokenizer is asked for first, with one request.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks import json_lines

_SYLLABLES = tuple(first + second for first in "bdklmnrst" for second in "aeiou")
_MARGIN_TOKENS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The shape of a run's prompts and answers.

    Attributes:
        model: of the requests.
        input_tokens: about so many.
        output_tokens: exactly so many, where the server honours ``ignore_eos``; else at most.
        spread: lengths vary evenly by this share to both sides, in [0, 1].
        words_per_token: of this server's tokenizer.
        is_exact: send ``ignore_eos``, which not every server knows.
        path: of a JSONL file, for the data sets that read one.
    """

    model: str
    input_tokens: int
    output_tokens: int
    spread: float = 0.0
    words_per_token: float = 1.0
    is_exact: bool = True
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request: its body, and when a recording says that it came, in seconds."""

    body: dict[str, Any]
    at_s: float | None = None


def text(num_words: int, source: random.Random) -> str:
    """Made-up words, of which no two texts begin alike."""
    words = ("".join(source.choices(_SYLLABLES, k=2)) for _ in range(max(1, num_words)))
    return " ".join(words)


def _synthetic(shape: Shape, source: random.Random) -> Iterator[PlannedRequest]:
    """Prompts of the given lengths that share nothing."""
    while True:
        yield PlannedRequest(_chat(shape, [_user(_words(shape, source), source)], source))


def _shared_prefix(shape: Shape, source: random.Random) -> Iterator[PlannedRequest]:
    """Nine tenths of each prompt is the same system prompt."""
    system = {"role": "system", "content": text(_count(shape, 0.9), source)}
    while True:
        yield PlannedRequest(_chat(shape, [system, _user(_count(shape, 0.1), source)], source))


def _long_context(shape: Shape, source: random.Random) -> Iterator[PlannedRequest]:
    """One prompt in eight is eight times as long, so that its prefill meets the others' decode."""
    for number in itertools.count(1):
        share = 8.0 if number % 8 == 0 else 1.0
        yield PlannedRequest(_chat(shape, [_user(_count(shape, share), source)], source))


def _tools(shape: Shape, source: random.Random) -> Iterator[PlannedRequest]:
    """A third each: plain, with tools, with a JSON answer asked for."""
    tool = {
        "type": "function",
        "function": {
            "name": "find_record",
            "description": "Find a record by its number.",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "integer"}},
                "required": ["number"],
            },
        },
    }
    for number in itertools.count():
        body = _chat(shape, [_user(_words(shape, source), source)], source)
        if number % 3 == 1:
            body["tools"] = [tool]
        elif number % 3 == 2:
            body["response_format"] = {"type": "json_object"}
        yield PlannedRequest(body)


def _conversations(shape: Shape, source: random.Random) -> Iterator[PlannedRequest]:
    """Lines of ``{"conversations": [{"from", "value"}]}`` (ShareGPT) or ``{"messages": [...]}``."""
    conversations = [_messages(line) for _, line in _lines(shape)]
    usable = [messages for messages in conversations if messages]
    if not usable:
        raise ValueError(f"{shape.path}: no line has conversations or messages")
    source.shuffle(usable)
    for messages in itertools.cycle(usable):
        yield PlannedRequest(_chat(shape, messages, source))


def _replay(shape: Shape, source: random.Random) -> Iterator[PlannedRequest]:
    """Lines of ``{"at_s", "input_tokens", "output_tokens"}``, sent when they were; it ends."""
    for number, line in _lines(shape):
        try:
            own = (float(line["at_s"]), int(line["input_tokens"]), int(line["output_tokens"]))
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{shape.path}, line {number}: at_s, input_tokens and output_tokens are needed"
            ) from None
        at_s, num_in, num_out = own
        words = max(1, round(num_in * shape.words_per_token))
        body = _chat(shape, [_user(words, source)], source)
        yield PlannedRequest(body | {"max_tokens": num_out}, at_s)


_Make = Callable[[Shape, random.Random], Iterator[PlannedRequest]]
DATASETS: Mapping[str, _Make] = MappingProxyType(
    {
        "synthetic": _synthetic,
        "shared-prefix": _shared_prefix,
        "long-context": _long_context,
        "tools": _tools,
        "conversations": _conversations,
        "replay": _replay,
    }
)
FROM_FILES = frozenset({"conversations", "replay"})


def requests(name: str, shape: Shape, seed: int | str) -> Iterator[PlannedRequest]:
    """The requests of a data set.

    Raises:
        ValueError: it needs a file, or the file is not what it should be; perhaps on the way.
    """
    if name in FROM_FILES and shape.path is None:
        raise ValueError(f"--dataset {name} needs --file FILE.jsonl")
    return DATASETS[name](shape, random.Random(f"{name} {seed}"))


def _lines(shape: Shape) -> Iterator[tuple[int, dict[str, Any]]]:
    return json_lines.rows(shape.path or Path())


def _messages(line: Mapping[str, Any]) -> list[dict[str, str]]:
    """The messages up to the last answer, which is left out."""
    if isinstance(line.get("messages"), list):
        pairs = [(message.get("role"), message.get("content")) for message in line["messages"]]
    else:
        roles = {"human": "user", "user": "user", "system": "system", "gpt": "assistant"}
        turns = line.get("conversations") or []
        pairs = [
            (roles.get(message.get("from"), "assistant"), message.get("value")) for message in turns
        ]
    messages = [{"role": str(role), "content": str(content)} for role, content in pairs if content]
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    return messages


def _user(num_words: int, source: random.Random) -> dict[str, str]:
    return {"role": "user", "content": text(num_words, source)}


def _words(shape: Shape, source: random.Random) -> int:
    return _count(shape, source.uniform(1 - shape.spread, 1 + shape.spread))


def _count(shape: Shape, share: float) -> int:
    tokens = shape.input_tokens * share - _MARGIN_TOKENS  # what a chat template adds, about
    return max(1, round(tokens * shape.words_per_token))


def _chat(
    shape: Shape, messages: Sequence[Mapping[str, str]], source: random.Random
) -> dict[str, Any]:
    share = source.uniform(1 - shape.spread, 1 + shape.spread)
    exact = {"ignore_eos": True} if shape.is_exact else {}
    return {
        "model": shape.model,
        "messages": list(messages),
        "max_tokens": max(1, round(shape.output_tokens * share)),
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **exact,
    }
