"""One answer as it came: its text, its times as the client saw them, and its line for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serve import timeline
from serve.observe.terminal_lines import SEPARATOR, seconds

LEAST_S = 0.01
"""Of a rate: below it the pieces of the network are measured, not the tokens."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """An answer, while it comes and afterwards.

    The client's times include the network; the formulas are those of serve/timeline.py.

    Attributes:
        text: what has come so far.
        sent_at: monotonic seconds, as are the others; the question left then.
        usage: the server's count of tokens; empty where it sends none, or was stopped before.
        was_stopped: by the user.
    """

    model: str
    sent_at: float
    text: str = ""
    first_text_at: float | None = None
    last_text_at: float | None = None
    ended_at: float | None = None
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    was_stopped: bool = False

    def text_came(self, part: str, at: float) -> None:
        """Add a piece of text that came at ``at``."""
        if self.first_text_at is None:
            self.first_text_at = at
        self.last_text_at = at
        self.text += part

    @property
    def ttft_s(self) -> float | None:
        """Seconds from the question to the first text."""
        return None if self.first_text_at is None else self.first_text_at - self.sent_at

    @property
    def duration_s(self) -> float:
        return (self.ended_at if self.ended_at is not None else timeline.now()) - self.sent_at

    @property
    def completion_tokens(self) -> int | None:
        count = (self.usage or {}).get("completion_tokens")
        return count if isinstance(count, int) else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens after the first one, by the time that they took.

        None below two, where it is not known, and where they came too close together to say: in
        one piece that was late, say.
        """
        count = self.completion_tokens
        if count is None or count < 2 or self.first_text_at is None or self.last_text_at is None:
            return None
        took_s = self.last_text_at - self.first_text_at
        return (count - 1) / took_s if took_s >= LEAST_S else None

    @property
    def summary(self) -> str:
        """The line below an answer: ``15 tokens · TTFT 48 ms · 250 tok/s · 0.11 s``."""
        parts = ["stopped"] if self.was_stopped else []
        if (count := self.completion_tokens) is not None:
            parts.append(f"{count} token{'' if count == 1 else 's'}")
        if self.ttft_s is not None:
            parts.append(f"TTFT {seconds(self.ttft_s)}")
        if self.tokens_per_s is not None:
            parts.append(f"{self.tokens_per_s:,.{0 if self.tokens_per_s >= 100 else 1}f} tok/s")
        parts.append(seconds(self.duration_s))
        if self.finish_reason == "length":
            parts.append("cut short: no more tokens were allowed")
        return SEPARATOR.join(parts)

    def as_json(self) -> dict[str, Any]:
        """The answer for programs, in one object."""
        return {
            "model": self.model,
            "answer": self.text,
            "finish_reason": self.finish_reason,
            "stopped": self.was_stopped,
            "usage": self.usage,
            "ttft_s": _rounded(self.ttft_s),
            "tokens_per_s": _rounded(self.tokens_per_s),
            "duration_s": _rounded(self.duration_s),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
