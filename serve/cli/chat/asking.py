"""One question and its answer: sent, shown while it comes, and kept in the conversation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from serve import timeline
from serve.cli.chat.answer import Answer
from serve.cli.chat.conversation import Conversation
from serve.cli.chat.display import Display
from serve.cli.chat.quiet_input import quiet_input
from serve.cli.chat.server import Server


@dataclass(slots=True, kw_only=True)
class Parameters:
    """The parameters that go with each question."""

    model: str
    temperature: float = 0.0
    max_tokens: int | None = None
    stop: list[str] = field(default_factory=list)

    def body(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """The body of a request for these messages."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "temperature": self.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.max_tokens is not None:
            body["max_tokens"] = self.max_tokens
        if self.stop:
            body["stop"] = self.stop
        return body


def ask(
    server: Server,
    parameters: Parameters,
    conversation: Conversation,
    question: str,
    display: Display,
) -> Answer:
    """Send the conversation with a question at its end, and show the answer as it comes.

    Ctrl-C ends the answer alone, which stays in the conversation as far as it came. A question that
    failed is not kept, nor one without a word of an answer, so that it can be asked again.

    Raises:
        AskError: there was no answer, or it broke off.
    """
    answer = Answer(model=parameters.model, sent_at=timeline.now())
    body = parameters.body(conversation.asked(question))
    display.begin()
    try:
        with quiet_input(), closing(server.events(body)) as events:
            for event in events:
                _take(event, answer, display)
    except KeyboardInterrupt:
        answer.was_stopped = True
    finally:
        answer.ended_at = timeline.now()
        display.end()
    if answer.text or not answer.was_stopped:
        conversation.keep(question, answer.text)
    return answer


def _take(event: dict[str, Any], answer: Answer, display: Display) -> None:
    """Take what a chunk of the stream says; fields of other kinds than ours are passed over."""
    if isinstance(usage := event.get("usage"), dict):
        answer.usage = usage
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return
    if isinstance(reason := choice.get("finish_reason"), str):
        answer.finish_reason = reason
    delta = choice.get("delta")
    part = delta.get("content") if isinstance(delta, dict) else None
    if isinstance(part, str) and part:
        answer.text_came(part, timeline.now())
        display.add(part)
