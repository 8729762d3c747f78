"""Reading an answer in OpenAI's harmony format, of gpt-oss: messages, each with a channel.

::

    <|channel|>analysis<|message|> reasoning <|end|>
    <|start|>assistant<|channel|>final<|message|> content
    <|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json<|message|> arguments

The format is described in OpenAI's openai-harmony, docs/format.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from serve.pipeline.events import Channel
from serve.pipeline.model_dialects.call_reading import ToldCall
from serve.pipeline.model_dialects.literals import Literals
from serve.pipeline.model_dialects.reading import EndedError, MalformedError, Reader, Wait
from serve.pipeline.model_dialects.telling import Telling

MARKUP = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|call|>", "<|return|>")
MAX_HEADER_CHARS = 512
_ROLE = "assistant"
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
        self._ends = Literals([*ends, start])
        self._marks = Literals([self._message, *ends, start])
        self._has_tools = has_tools
        self._is_parallel = is_parallel
        self._has_read = False  # a message
        self._is_call_over = False
        self._is_cut = False

    def has_ended(self) -> bool:
        """Whether nothing may follow what has been read."""
        return self._is_call_over and not self._is_parallel

    def is_cut(self) -> bool:
        """Whether the last call broke off before its arguments were whole."""
        return self._is_cut

    def read(self) -> Wait[None]:
        """Read all of it."""
        while not self.has_ended():
            try:
                text, end = yield from self._header()
            except MalformedError:
                # Text without any frame: it is what was said.
                if not (yield from self._say("content")):
                    break
                continue
            if end == self._message:
                yield from self._read_body(text)
            elif not self._is_header(text):
                self._telling.say("content", text)
        self._telling.finish()

    def _header(self) -> Wait[tuple[str, str]]:
        """The text before a message or the end of one, and which of the two.

        Raises:
            MalformedError: there is none, or so much text before it that it is no header.
        """
        reader, start = self._reader, self._reader.place
        try:
            return (yield from reader.until(self._marks, MAX_HEADER_CHARS))
        except EndedError:
            reader.return_to(start)
            rest = reader.text[reader.at :]
            if self._is_header(rest) and (rest.strip() or self._has_read):
                reader.at = len(reader.text)  # one that broke off
            raise

    def _is_header(self, text: str) -> bool:
        """Whether text outside of a message is part of a header, which is never told."""
        return self._channel in text or text.strip() in ("", _ROLE)

    def _read_body(self, header: str) -> Wait[None]:
        """Read a message behind its header."""
        self._has_read = True
        recipient = _RECIPIENT.search(header)
        kind = header.partition(self._channel)[2].strip()
        if recipient is not None and self._has_tools:
            yield from self._read_call(recipient[1])
            return
        channel: Channel = "reasoning" if kind.startswith("analysis") else "content"
        self._telling.is_reasoning = channel == "reasoning"
        yield from self._say(channel)
        self._telling.is_reasoning = False

    def _read_call(self, name: str) -> Wait[None]:
        told: list[str] = []
        call = ToldCall(self._telling.call())
        call.call(name)

        def argue(text: str) -> None:
            told.append(text)
            call.argue(text)

        is_closed = yield from self._tell(argue)
        self._is_cut = not is_closed and not _is_json("".join(told))
        if not self._is_cut and not "".join(told).strip():
            call.argue("{}")
        call.finish()
        self._is_call_over = True

    def _say(self, channel: Channel) -> Wait[bool]:
        return (yield from self._tell(lambda text: self._telling.say(channel, text)))

    def _tell(self, tell: Callable[[str], None]) -> Wait[bool]:
        """Tell a message's text as it comes, up to its end. Returns whether that came."""
        reader = self._reader
        while True:
            found = self._ends.find(reader.text, reader.at, is_over=reader.is_over)
            keep = 0 if reader.is_over else self._ends.held(reader.text, reader.at)
            stop = len(reader.text) - keep if found is None else found[0]
            if stop > reader.at:
                tell(reader.text[reader.at : stop])
            reader.at = stop
            if found is not None:
                reader.at += len(found[1])
                return True
            reader.forget()
            if reader.is_over:
                return False
            yield


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
