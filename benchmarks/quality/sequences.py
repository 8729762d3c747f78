"""Token sequences that the models predict; the first part of each is given.

Two sources. A model's evaluation: each question through the chat template, and the answer that
the base model gives to it, greedily. And any text: windows that overlap by half, so that every
token is scored once and with at least half a window before it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import json_lines
from benchmarks.quality.graders import grade
from serve.engine.protocol import Engine, EngineRequest, SamplingParams
from serve.pipeline.events import ChatPrompt
from serve.pipeline.render import Renderer

EVALUATION = "evaluation"
"""The source of what is scored of the questions' answers."""
LONGEST_ANSWER = 160
"""Tokens: a small function with its explanation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """One sequence for teacher forcing; both parts hold at least one token.

    Attributes:
        source: ``evaluation``, or the text file's name.
        given: the tokens before the first one that is scored.
        scored: the tokens whose probabilities are looked at.
    """

    source: str
    given: tuple[int, ...]
    scored: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Right answers of an evaluation."""

    right: int
    items: int

    @property
    def percent(self) -> float:
        return 100 * self.right / self.items


def read_items(path: Path) -> list[dict[str, Any]]:
    """Questions as JSON lines: ``messages``, ``expect`` and perhaps ``tools``.

    Raises:
        ValueError: it cannot be read, a line is not such an item, or there is none.
    """
    items = []
    for number, item in json_lines.rows(path):
        if not {"messages", "expect"} <= {*item}:
            raise ValueError(f"{path}, line {number}: an object with messages and expect is needed")
        items.append(item)
    if not items:
        raise ValueError(f"{path} holds no question")
    return items


async def prompts(renderer: Renderer, items: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The token ids of every question, as the server renders them."""
    return [
        await renderer.render(
            ChatPrompt(messages=tuple(item["messages"]), tools=tuple(item.get("tools") or ()))
        )
        for item in items
    ]


async def answers(engine: Engine, prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Greedy answers, the end-of-sequence token included; all at once.

    Raises:
        ContextLengthExceeded: a prompt leaves no room for an answer.
    """

    async def one(number: int, prompt: Sequence[int]) -> tuple[int, ...]:
        room = engine.info.max_model_len - len(prompt)
        request = EngineRequest(
            request_id=f"answer-{number}",
            prompt_token_ids=prompt,
            sampling=SamplingParams(max_tokens=max(1, min(LONGEST_ANSWER, room)), temperature=0),
        )
        token_ids: list[int] = []
        async with aclosing(engine.stream(request)) as chunks:
            async for chunk in chunks:
                token_ids += chunk.token_ids
        return tuple(token_ids)

    return await asyncio.gather(*(one(number, prompt) for number, prompt in enumerate(prompts)))


def score(
    renderer: Renderer,
    engine: Engine,
    items: Sequence[Mapping[str, Any]],
    answered: Sequence[Sequence[int]],
) -> Score:
    """Grade answers with graders.py."""
    right = 0
    for item, tokens in zip(items, answered, strict=True):
        text = [token for token in tokens if token not in engine.info.eos_token_ids]
        right += grade(renderer.tokenizer.decode_raw(text), item["expect"])
    return Score(right=right, items=len(items))


def first_rows(sequences: Sequence[Forced]) -> list[int]:
    """The number of each sequence's first scored token among those of all, in order."""
    return [0, *itertools.accumulate(len(forced.scored) for forced in sequences)][: len(sequences)]


def windows(
    tokens: Sequence[int], *, source: str, window: int, begins: Sequence[int] = ()
) -> list[Forced]:
    """A text as overlapping windows.

    Args:
        tokens: of the whole text.
        source: its name.
        window: most tokens of a window, at least 2; half of them are scored.
        begins: what every window begins with, such as the mark of a beginning; within its size.

    Raises:
        ValueError: the text has fewer than 2 tokens, or the window holds fewer.
    """
    size = window - len(begins)
    if size < 2 or len(tokens) < 2:
        raise ValueError(
            f"{source}: {len(tokens)} tokens in windows of {window}: at least 2 of each are needed"
        )
    half = size // 2
    # The first window has nothing before it, so the first token is given and never scored.
    return [
        Forced(
            source=source,
            given=(*begins, *tokens[max(0, start - (size - half)) : start]),
            scored=tuple(tokens[start : start + half]),
        )
        for start in range(1, len(tokens), half)
    ]


def limited(sequences: Sequence[Forced], max_tokens: int) -> list[Forced]:
    """Sequences until ``max_tokens`` scored tokens are reached, evenly from all of them."""
    total = sum(len(sequence.scored) for sequence in sequences)
    if total <= max_tokens:
        return list(sequences)
    step = total / max_tokens
    count = max(1, int(len(sequences) / step))
    return [sequences[int(number * len(sequences) / count)] for number in range(count)]
