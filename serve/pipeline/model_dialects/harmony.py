"""Reading an answer in OpenAI's harmony format, of gpt-oss: messages, each with a channel.

::

    <|channel|>analysis<|message|> reasoning <|end|>
    <|start|>assistant<|channel|>final<|message|> content
    <|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json<|message|> arguments

The format is described in OpenAI's openai-harmony, docs/format.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from serve.pipeline.events import Channel
from serve.pipeline.model_dialects.call_reading import ToldCall
from serve.pipeline.model_dialects.reading import Reader, Wait, first_of
from serve.pipeline.model_dialects.telling import Telling

MARKUP = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|call|>", "<|return|>")
_RECIPIENT = re.compile(r"to=(?:functions\.)?([A-Za-z0-9_.-]+)")


class HarmonyReading:
    """Reads one answer.

    Args:
        names: what stands in the text for each of MARKUP: its mark, or its name.
        has_tools: whether anything may be called.
        is_parallel: whether more than one call may come.
    """

    def __init__(
        self,
        reader: Reader,
        telling: Telling,
        names: Mapping[str, str],
        *,
        has_tools: bool,
        is_parallel: bool,
    ) -> None:
        self._reader = reader
        self._telling = telling
        self._channel, self._message, start, *ends = (names[name] for name in MARKUP)
        self._ends = [*ends, start]
        self._has_tools = has_tools
        self._is_parallel = is_parallel
        self._is_call_over = False

    def has_ended(self) -> bool:
        """Whether nothing may follow what has been read."""
        return self._is_call_over and not self._is_parallel

    def read(self) -> Wait[None]:
        """Read all of it."""
        reader = self._reader
        while not self.has_ended():
            header = yield from self._up_to([self._message, *self._ends])
            if header is None:
                # Text without any frame: it is all that was said.
                self._telling.say("content", reader.rest)
                reader.at = len(reader.text)
                break
            text, end = header
            if end == self._message:
                yield from self._read_body(text)
            elif text.strip() and self._channel not in text and text.strip() != "assistant":
                self._telling.say("content", text)
        self._telling.finish()

    def _read_body(self, header: str) -> Wait[None]:
        """Read a message behind its header."""
        recipient = _RECIPIENT.search(header)
        kind = header.partition(self._channel)[2].strip()
        if recipient is not None and self._has_tools:
            call = ToldCall(self._telling.call())
            call.name = recipient[1]
            yield from self._tell(call.argue)
            call.finish()
            self._is_call_over = True
            return
        channel: Channel = "reasoning" if kind.startswith("analysis") else "content"
        self._telling.is_reasoning = channel == "reasoning"
        yield from self._tell(lambda text: self._telling.say(channel, text))
        self._telling.is_reasoning = False

    def _tell(self, tell: Callable[[str], None]) -> Wait[None]:
        """Tell a message's text as it comes, up to its end."""
        reader = self._reader
        while True:
            found = first_of(reader.text, self._ends, reader.at)
            stop = len(reader.text) if found is None else found[0]
            if stop > reader.at:
                tell(reader.text[reader.at : stop])
            reader.at = stop
            if found is not None:
                reader.at += len(found[1])
                return
            reader.forget()
            if reader.is_over:
                return
            yield

    def _up_to(self, ends: list[str]) -> Wait[tuple[str, str] | None]:
        """The text before the first of some names, and which; None at the end of all text."""
        reader = self._reader
        while True:
            found = first_of(reader.text, ends, reader.at)
            if found is not None:
                start, end = found
                text, reader.at = reader.text[reader.at : start], start + len(end)
                return text, end
            if reader.is_over:
                return None
            yield
