"""Conversations played turn by turn in turn, as several agents use one server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

from benchmarks.agent.asking import TIMEOUT_S, Answer, AskError, ask
from benchmarks.agent.conversation import Conversation
from benchmarks.agent.reuse import Played
from benchmarks.agent.scripts import Script
from benchmarks.agent.telling import FirstTokenInMetrics
from benchmarks.serving.client import trusting
from serve.pipeline.events import ChatPrompt
from serve.pipeline.render import Renderer

Told: TypeAlias = Callable[[], int | None]
"""Cached tokens of the last answer, from elsewhere than its ``usage``; None where unknown."""

_WARM_UP = 200
"""Greetings of the first request: more than one chunk of a prompt has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules by which conversations are played.

    Attributes:
        max_tokens: of an answer.
        has_token_ids: servers are asked for the token ids of prompts and answers.
        has_required_calls: a question asks for one tool call (``tool_choice: required``), where
            the script has tools; after a tool's output the model is free.
    """

    max_tokens: int = 64
    has_token_ids: bool = False
    has_required_calls: bool = True


class Player:
    """Plays on one server.

    Args:
        url: of the server, without ``/v1``.
        renderer: of the model, for the ids of prompts that the server does not tell.
        rules: for every turn.
        told: asked after each answer whose usage has no cached tokens.
    """

    def __init__(
        self, url: str, renderer: Renderer, rules: Rules, told: Told = lambda: None
    ) -> None:
        # On loopback, most often: no certificates are read for that.
        context = trusting() if url.startswith("https:") else False
        self._client = httpx.Client(
            base_url=url, timeout=TIMEOUT_S, verify=context, trust_env=False
        )
        self._renderer = renderer
        self._rules = rules
        self._told = told
        self._model = ""
        self._first_token_s: Callable[[], float | None] = lambda: None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def warm_up(self) -> None:
        """Ask for two tokens after some hundred words, so that no first request is measured.

        Raises:
            AskError: no answer.
        """
        try:
            self._model = str(self._client.get("/v1/models").json()["data"][0]["id"])
        except (httpx.HTTPError, ValueError, LookupError) as error:
            raise AskError(f"/v1/models: {type(error).__name__}: {error}") from None
        self._first_token_s = FirstTokenInMetrics(self._client)
        message = {"role": "user", "content": "Good morning. " * _WARM_UP}
        self._ask({"messages": [message], "max_tokens": 2})
        self._told()
        self._first_token_s()

    def play(self, scripts: Sequence[Script]) -> Iterator[Played]:
        """Every turn of all scripts: the first of each, then the second of each, and so on.

        Raises:
            AskError: an answer did not come whole.
        """
        conversations = [Conversation(script) for script in scripts]
        for _ in range(min(len(script.turns) for script in scripts)):
            for conversation in conversations:
                yield self._turn(conversation)

    def _turn(self, conversation: Conversation) -> Played:
        conversation.begin_turn()
        script = conversation.script
        body: dict[str, Any] = {
            "messages": conversation.messages,
            "max_tokens": self._rules.max_tokens,
        }
        if script.tools:
            body["tools"] = list(script.tools)
            if self._rules.has_required_calls and conversation.messages[-1]["role"] == "user":
                body |= {"tool_choice": "required", "parallel_tool_calls": False}
        answer = self._ask(body)
        prompt_ids = answer.prompt_ids or self._rendered(conversation)
        is_kept_whole = conversation.end_turn(answer)
        cached = answer.cached_tokens
        first_event_s = answer.first_event_s or 0.0
        return Played(
            conversation=script.name,
            number=conversation.num_turns,
            first_token_s=self._first_token_s() or first_event_s,
            first_event_s=first_event_s,
            first_text_s=answer.first_text_s,
            total_s=answer.total_s,
            prompt_tokens=answer.prompt_tokens or len(prompt_ids),
            # Servers without usage in streams send an event per token.
            completion_tokens=answer.completion_tokens or answer.num_text_events,
            cached_tokens=self._told() if cached is None else cached,
            finish_reason=answer.finish_reason or "",
            num_calls=len(answer.calls),
            is_kept_whole=is_kept_whole,
            prompt_ids=prompt_ids,
            output_ids=answer.output_ids,
        )

    def _ask(self, body: dict[str, Any]) -> Answer:
        ids = {"return_token_ids": True} if self._rules.has_token_ids else {}
        return ask(self._client, {"model": self._model, "temperature": 0, **ids, **body})

    def _rendered(self, conversation: Conversation) -> list[int]:
        """Token ids of the prompt by the model's own template."""
        prompt = ChatPrompt(messages=tuple(conversation.messages), tools=conversation.script.tools)
        return asyncio.run(self._renderer.render(prompt))
