"""The pipeline's input (GenerateRequest) and output (Event)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from serve.engine.protocol import SamplingParams
from serve.errors import RequestError
from serve.timeline import FinishReason, Timeline, Usage

UNBOUNDED_TOKENS = sys.maxsize
"""``SamplingParams.max_tokens`` of a request that named none: as many as fit the context."""

Channel = Literal["content", "reasoning", "refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPrompt:
    """Messages for the model's chat template, as plain JSON values, with tools if any."""

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Text to continue, tokenised as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class TokensPrompt:
    """Token ids to continue. Whether they are in the vocabulary is checked by the pipeline."""

    token_ids: tuple[int, ...]


Prompt = ChatPrompt | TextPrompt | TokensPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A client's wish for text, in no API's words. ``len(prompts) * n`` choices.

    Attributes:
        prompts: one or more; choice ``i * n + k`` is the k-th continuation of prompt ``i``.
        sampling: ``max_tokens`` is UNBOUNDED_TOKENS where the client named none.
        stop: strings that end a choice; they are not part of its text.
        cache_salt: of the client's own: only its requests of the same salt share prefixes.
    """

    prompts: tuple[Prompt, ...]
    n: int = 1
    sampling: SamplingParams
    stop: tuple[str, ...] = ()
    cache_salt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(Generation):
    """A generation that may run: who wants it, by what it is served, and its record.

    Attributes:
        request_id: unique among those in flight.
        tenant: tenants never share cached prefixes.
        adapter: one of the engine's; None is the plain model.
        timeline: the pipeline writes stamps and usage into it.
    """

    request_id: str
    tenant: str
    adapter: str | None = None
    timeline: Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenText:
    """One token as clients see it in ``logprobs``.

    Attributes:
        text: lossy: a part of a character is U+FFFD. Of a special token its name.
        raw: its exact bytes; none where it has no text, as a special token. The bytes of all tokens
            joined are the UTF-8 of the text, but for characters that nobody finished.
        top: the most likely tokens at its place, most likely first.
        token_id: None where it is not known.
        offset: characters of the choice's text before the one in which it begins.
    """

    text: str
    raw: bytes
    logprob: float
    top: tuple[TokenText, ...] = ()
    token_id: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The request is admitted and rendered. After this there is no HTTP status to choose.

    Attributes:
        prompt_tokens: of all prompts together.
    """

    prompt_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """More text of one choice. Text may be empty only where ``logprobs`` is not."""

    index: int
    text: str
    channel: Channel = "content"
    logprobs: tuple[TokenText, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """More of one tool call of one choice.

    Attributes:
        call: which of the choice's calls, from 0.
        call_id: in the call's first delta only, as is ``name``.
        arguments: more of the arguments' JSON text.
    """

    index: int
    call: int
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of one choice; exactly one per choice, and nothing of that choice after it.

    Attributes:
        usage: tokens of this choice alone. The request's sum is in its timeline.
        error: with reason ``error`` only.
    """

    index: int
    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    error: RequestError | None = None


ChoiceEvent = TextDelta | ToolCallDelta | Finished
"""Events of one choice, which pass its stages (stages.py)."""

Event = Started | ChoiceEvent
