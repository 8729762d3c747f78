"""One OpenAI-compatible server, asked one thing at a time: answers with their counts and stamps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

TIMEOUT_S = 600.0
"""For one answer. A long prompt on a busy CPU takes minutes."""
MAX_PROMPTS = 16
"""Of one request to /v1/completions."""


class AskError(RuntimeError):
    """The server did not answer as an OpenAI-compatible one does; the message says what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A streamed answer that came whole.

    Attributes:
        finish_reason: ``stop`` or ``length``.
        prompt_tokens: as ``usage`` counts them, and ``completion_tokens``.
        first_s: from the sending to the first text; None where there was none.
        last_s: the same of the last text.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    first_s: float | None
    last_s: float | None

    @property
    def tokens_s(self) -> float | None:
        """Tokens per second after the first; None where there is no pace to see."""
        if self.first_s is None or self.last_s is None or self.last_s <= self.first_s:
            return None
        return (self.completion_tokens - 1) / (self.last_s - self.first_s)


class Asker:
    """Asks one model of a server, always for its likeliest tokens.

    Args:
        url: of the server, without ``/v1``.
        model: to ask for; the first that the server lists unless given.

    Raises:
        AskError: it lists none.
    """

    def __init__(self, url: str, model: str | None = None) -> None:
        # Asked on loopback: not to read the authorities' certificates saves a moment each time.
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S, verify=False, trust_env=False)  # noqa: S501
        self._model = model or self._first()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def card(self) -> dict[str, Any]:
        """The model's card, as /v1/models has it.

        Raises:
            AskError: no such card.
        """
        reply = self._client.get(f"/v1/models/{self._model}")
        if reply.status_code != httpx.codes.OK:
            raise AskError(f"/v1/models/{self._model}: {_shown(reply)}")
        return dict(reply.json())

    def _first(self) -> str:
        reply = self._client.get("/v1/models")
        if reply.status_code != httpx.codes.OK or not reply.json()["data"]:
            raise AskError(f"/v1/models: {_shown(reply)}")
        return str(reply.json()["data"][0]["id"])

    def refusal(self, route: str, body: Mapping[str, Any]) -> str | None:
        """The message with which a request is refused as a bad one (400); None if it is not.

        Raises:
            AskError: neither accepted nor refused in that way.
        """
        reply = self._client.post(route, json={"model": self._model, **body})
        if reply.status_code == httpx.codes.OK:
            return None
        if reply.status_code != httpx.codes.BAD_REQUEST:
            raise AskError(f"{route}: {_shown(reply)}")
        return str(reply.json()["error"]["message"])

    def count(self, **prompt: Any) -> list[int]:
        """The token ids of ``prompt=TEXT``, or of ``messages=[...]`` with ``tools=[...]``.

        Raises:
            AskError: refused.
        """
        reply = self._client.post("/tokenize", json={"model": self._model, **prompt})
        if reply.status_code != httpx.codes.OK:
            raise AskError(f"/tokenize: {_shown(reply)}")
        return list(reply.json()["tokens"])

    def chat(self, text: str, *, max_tokens: int = 64, **more: Any) -> Answer:
        """One turn of one user."""
        messages = [{"role": "user", "content": text}]
        return self._stream(
            "/v1/chat/completions", {"messages": messages, "max_tokens": max_tokens, **more}
        )

    def complete(self, prompt: str, *, max_tokens: int = 64, **more: Any) -> Answer:
        """The continuation of a text."""
        return self._stream("/v1/completions", {"prompt": prompt, "max_tokens": max_tokens, **more})

    def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[str]:
        """The likeliest next token of each prompt of token ids, as the server writes tokens.

        Raises:
            AskError: refused, or without logprobs.
        """
        tokens: list[str] = []
        for begin in range(0, len(prompts), MAX_PROMPTS):
            batch = [list(prompt) for prompt in prompts[begin : begin + MAX_PROMPTS]]
            body = {"prompt": batch, "max_tokens": 1, "logprobs": 1, "ignore_eos": True}
            reply = self._client.post(
                "/v1/completions", json={"model": self._model, "temperature": 0, **body}
            )
            if reply.status_code != httpx.codes.OK:
                raise AskError(f"/v1/completions: {_shown(reply)}")
            choices = sorted(reply.json()["choices"], key=lambda choice: int(choice["index"]))
            tokens += [str(choice["logprobs"]["tokens"][0]) for choice in choices]
        return tokens

    def _stream(self, route: str, body: Mapping[str, Any]) -> Answer:
        whole = {
            "model": self._model,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **body,
        }
        sent_at = time.monotonic()
        with self._client.stream("POST", route, json=whole) as reply:
            if reply.status_code != httpx.codes.OK:
                reply.read()
                raise AskError(f"{route}: {_shown(reply)}")
            return _read(reply.iter_lines(), route, sent_at)


def _read(lines: Iterator[str], route: str, sent_at: float) -> Answer:
    """The answer in the lines of a stream.

    Raises:
        AskError: it has an error event, or lacks usage, finish reason or [DONE].
    """
    text, finish_reason, usage = "", None, None
    first_s = last_s = None
    is_done = False
    for line in lines:
        if line == "data: [DONE]":
            is_done = True
        elif line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                raise AskError(f"{route}: an error in the stream: {event['error']}")
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                finish_reason = choice.get("finish_reason") or finish_reason
                new_text = choice.get("text") or choice.get("delta", {}).get("content") or ""
                if new_text:
                    last_s = time.monotonic() - sent_at
                    first_s = last_s if first_s is None else first_s
                    text += new_text
    if not (is_done and usage and finish_reason):
        missing = [
            name
            for name, there in (
                ("[DONE]", is_done),
                ("usage", usage),
                ("a finish reason", finish_reason),
            )
            if not there
        ]
        raise AskError(f"{route}: the stream ended without {' and '.join(missing)}")
    return Answer(
        text=text,
        finish_reason=str(finish_reason),
        prompt_tokens=int(usage["prompt_tokens"]),
        completion_tokens=int(usage["completion_tokens"]),
        first_s=first_s,
        last_s=last_s,
    )


def _shown(reply: httpx.Response) -> str:
    return f"status {reply.status_code}: {reply.text[:300]}"
