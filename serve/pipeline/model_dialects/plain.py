"""Reading an answer of reasoning, content and calls in a row, the form of nearly all models.

It holds back whatever could still become a tag, gives up what only looked like one as content, and
loses no character but those of the tags and the white space that the template puts around them.
"""

from __future__ import annotations

from serve.pipeline.events import Channel
from serve.pipeline.model_dialects.call_reading import Tools
from serve.pipeline.model_dialects.dialect import ModelDialect
from serve.pipeline.model_dialects.literals import Literals
from serve.pipeline.model_dialects.reading import Reader, Wait
from serve.pipeline.model_dialects.sections import SectionReading
from serve.pipeline.model_dialects.telling import Telling


class PlainReading:
    """Reads one answer.

    Args:
        dialect: with marks for special tokens (marks.py).
        tools: schemas of the arguments of what may be called; None where nothing may be.
        is_parallel: whether more than one call may come; after the first the choice ends if not.
        is_thinking: whether the prompt has opened the reasoning already.
    """

    def __init__(
        self,
        reader: Reader,
        telling: Telling,
        dialect: ModelDialect,
        *,
        tools: Tools | None,
        is_parallel: bool,
        is_thinking: bool,
    ) -> None:
        self._reader = reader
        self._telling = telling
        self._dialect = dialect
        self._reasoning = dialect.reasoning
        self._is_opened = is_thinking
        self._lead = ""
        self._calls: SectionReading | None = None
        if tools is not None and dialect.calls is not None:
            self._lead = dialect.calls.lead
            self._calls = SectionReading(
                reader, telling, dialect.calls, tools=tools, is_parallel=is_parallel
            )
        telling.is_reasoning = is_thinking and dialect.reasoning is not None

    def has_ended(self) -> bool:
        """Whether nothing may follow what has been read and told."""
        return self._calls is not None and self._calls.has_ended and not self._telling.is_holding

    def is_cut(self) -> bool:
        """Whether the last call broke off before its arguments were whole."""
        return self._calls is not None and self._calls.is_cut

    def read(self) -> Wait[None]:
        """Read all of it."""
        if self._reasoning is not None:
            yield from self._read_reasoning(self._reasoning.open, self._reasoning.close)
        yield from self._read_content()
        self._telling.finish()

    def _read_reasoning(self, opened: str, closed: str) -> Wait[None]:
        begins = yield from self._reader.match(opened)
        if not (begins or self._is_opened):
            return
        self._telling.is_reasoning = True
        if begins:
            yield from self._reader.skip_exactly(opened[len(opened.rstrip()) :])
        ends = Literals([closed.rstrip(), closed.strip()])
        found = yield from self._tell_until("reasoning", ends)
        self._telling.is_reasoning = False
        if found is not None:
            yield from self._reader.skip_exactly(closed[len(closed.rstrip()) :])

    def _read_content(self) -> Wait[None]:
        opened, closed = self._dialect.content_open, self._dialect.content_close
        if opened.strip() and (yield from self._reader.match(opened)):
            yield from self._reader.skip_exactly(opened[len(opened.rstrip()) :])
        closings = {closed, closed.strip()} - {""}
        ends = [*closings]
        if self._calls is not None and self._calls.trigger:
            ends += [self._lead + self._calls.trigger, self._calls.trigger]
        literals = Literals(ends)
        telling = self._telling
        while True:
            if self._calls is not None and not telling.has_content:
                yield from self._calls.read_without_tags()
            if self.has_ended():
                return
            found = yield from self._tell_until("content", literals)
            if found is None:
                return
            if found in closings or self._calls is None:
                telling.close_content()
            else:
                yield from self._read_calls(self._calls, found)
            if self.has_ended():
                return

    def _read_calls(self, calls: SectionReading, found: str) -> Wait[None]:
        """Read calls behind their trigger; what only looks like one is content."""
        reader, trigger = self._reader, calls.trigger
        reader.at -= len(trigger)
        if not (yield from calls.read(is_first=not self._telling.has_content)):
            self._telling.say("content", found)
            reader.at += len(trigger)

    def _tell_until(self, channel: Channel, ends: Literals) -> Wait[str | None]:
        """Tell text up to the first of some literals, which is read. None where none comes."""
        reader = self._reader
        while True:
            found = ends.find(reader.text, reader.at, is_over=reader.is_over)
            if found is not None:
                start, end = found
                self._telling.say(channel, reader.text[reader.at : start])
                reader.at = start + len(end)
                return end
            keep = 0 if reader.is_over else ends.held(reader.text, reader.at)
            stop = len(reader.text) - keep
            self._telling.say(channel, reader.text[reader.at : stop])
            reader.at = stop
            reader.forget()
            if reader.is_over:
                return None
            yield
