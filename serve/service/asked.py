"""A request, as the queue in front of an engine knows it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve.pipeline.events import Started
from serve.timeline import RequestClass

MOST_COMPLETION_TOKENS: Final = 512
"""Tokens of an answer that are counted before they are known, for each choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as the queue knows it.

    Attributes:
        tokens: of its prompt and what it is expected to generate; before it is rendered, at least.
        width: sequences that run at once.
        deadline_at: on the queue's clock; None is never.
        is_retry: it was refused before, as its client says.
    """

    tenant: str
    request_class: RequestClass
    tokens: int
    width: int = 1
    deadline_at: float | None = None
    is_retry: bool = False


def expected_tokens(started: Started) -> int:
    """Tokens that are counted for a request whose prompt is known."""
    most = MOST_COMPLETION_TOKENS * started.num_sequences
    return started.prompt_tokens + min(started.max_completion_tokens, most)
