"""One streamed chat request: the whole answer as a client keeps it, with its counts and times."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT_S = 1800.0
"""For one answer: a server that computes 11,000 tokens anew may take minutes."""
_SHOWN = 300


class AskError(RuntimeError):
    """The server did not answer as an OpenAI-compatible one does; the message says what came."""


@dataclass(slots=True)
class Answer:
    """An answer that came whole.

    Attributes:
        calls: tool calls by their index, as the API has them in a message.
        first_event_s: from the sending to the first event of the answer. vLLM and llama.cpp send
            it with their first token, ours with the first that can be read.
        first_text_s: the same to the first text, or part of a call; None where there was none. A
            call may be held back until its name is whole.
        total_s: to the end of the stream.
        prompt_tokens, completion_tokens, cached_tokens: as ``usage`` tells them; None where not.
        num_text_events: events that had text or a part of a call.
        prompt_ids, output_ids: token ids, where they were asked for and the server tells them.
    """

    content: str = ""
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    finish_reason: str | None = None
    first_event_s: float | None = None
    first_text_s: float | None = None
    total_s: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    num_text_events: int = 0
    prompt_ids: list[int] | None = None
    output_ids: list[int] | None = None

    def take(self, event: Mapping[str, Any], at_s: float) -> None:
        """Add one event of the stream, which came so many seconds after the sending."""
        if event.get("error"):
            raise AskError(f"an error in the stream: {event['error']}")
        self.prompt_ids = event.get("prompt_token_ids") or self.prompt_ids
        for choice in event.get("choices") or ():
            if self.first_event_s is None:
                self.first_event_s = at_s
            self._choice(choice, at_s)
        usage = event.get("usage")
        if usage:
            self.prompt_tokens = usage["prompt_tokens"]
            self.completion_tokens = usage["completion_tokens"]
            self.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")

    def _choice(self, choice: Mapping[str, Any], at_s: float) -> None:
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if choice.get("token_ids"):
            self.output_ids = (self.output_ids or []) + choice["token_ids"]
        delta = choice.get("delta") or {}
        parts = delta.get("tool_calls") or ()
        for part in parts:
            self._call(part)
        self.content += delta.get("content") or ""
        if parts or delta.get("content"):
            self.num_text_events += 1
            if self.first_text_s is None:
                self.first_text_s = at_s

    def _call(self, part: Mapping[str, Any]) -> None:
        """Merge a part of a tool call into what came of it before."""
        call = self.calls.setdefault(
            part.get("index", 0),
            {"id": None, "type": "function", "function": {"name": "", "arguments": ""}},
        )
        call["id"] = part.get("id") or call["id"]
        function = part.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


def ask(client: httpx.Client, body: Mapping[str, Any]) -> Answer:
    """Send one chat request and read its stream to the end.

    Args:
        client: whose base address is the server's, without ``/v1``.
        body: without what makes it a stream.

    Raises:
        AskError: refused, an error in the stream, or a stream without an end.
    """
    whole = {**body, "stream": True, "stream_options": {"include_usage": True}}
    answer = Answer()
    sent_at = time.monotonic()
    try:
        with client.stream("POST", "/v1/chat/completions", json=whole) as reply:
            if reply.status_code != httpx.codes.OK:
                raise AskError(f"status {reply.status_code}: {reply.read().decode()[:_SHOWN]}")
            for event in _events(reply.iter_lines()):
                answer.take(event, time.monotonic() - sent_at)
    except httpx.HTTPError as error:
        raise AskError(f"{type(error).__name__}: {error}") from None
    answer.total_s = time.monotonic() - sent_at
    if answer.finish_reason is None or answer.first_event_s is None:
        raise AskError("the stream ended without a finish reason")
    return answer


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data and data != "[DONE]":
            yield json.loads(data)
