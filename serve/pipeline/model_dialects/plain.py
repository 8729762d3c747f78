"""Reading an answer of reasoning, content and calls in a row, the form of nearly all models.

It holds back whatever could still become a tag, gives up what only looked like one as content, and
loses no character but those of the tags and the white space that the template puts around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from serve.pipeline.events import Channel
from serve.pipeline.model_dialects.call_reading import ToldCall, Tools, read_call
from serve.pipeline.model_dialects.dialect import CallSyntax, JsonCall, ModelDialect
from serve.pipeline.model_dialects.reading import (
    EndedError,
    MalformedError,
    Reader,
    Wait,
    could_grow,
    first_of,
    held,
)
from serve.pipeline.model_dialects.telling import Tell, Telling

FENCES = ("```json", "```")


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
        self._reasoning = dialect.reasoning
        self._syntax = dialect.calls if tools is not None else None
        self._tools: Tools = tools or {}
        self._is_parallel = is_parallel
        self._is_opened = is_thinking
        self._is_call_over = False
        telling.is_reasoning = is_thinking and dialect.reasoning is not None

    def has_ended(self) -> bool:
        """Whether nothing may follow what has been read."""
        return self._telling.num_calls > 0 and not self._is_parallel and self._is_call_over

    def read(self) -> Wait[None]:
        """Read all of it."""
        if self._reasoning is not None:
            yield from self._read_reasoning(self._reasoning.open, self._reasoning.close)
        if self._syntax is None:
            yield from self._tell_until("content", ())
        else:
            yield from self._read_content(self._syntax)
        self._telling.finish()

    def _read_reasoning(self, opened: str, closed: str) -> Wait[None]:
        begins = yield from self._reader.match(opened)
        if not (begins or self._is_opened):
            return
        self._telling.is_reasoning = True
        if begins:
            yield from self._skip_space_of(opened[len(opened.rstrip()) :])
        core = closed.strip()
        found = yield from self._tell_until("reasoning", [closed.rstrip(), core])
        self._telling.is_reasoning = False
        if found is not None:
            yield from self._skip_space_of(closed[len(closed.rstrip()) :])

    def _skip_space_of(self, space: str) -> Wait[None]:
        """Read white space as far as it is that of a literal."""
        for character in space:
            try:
                if (yield from self._reader.peek()) != character:
                    return
            except EndedError:
                return
            self._reader.at += 1

    def _read_content(self, syntax: CallSyntax) -> Wait[None]:
        reader, trigger = self._reader, syntax.trigger
        ends = [syntax.lead + trigger, trigger] if trigger else []
        while True:
            if isinstance(syntax.body, JsonCall) and not self._telling.has_content:
                yield from self._read_bare_calls(syntax)
            if self.has_ended():
                return
            found = yield from self._tell_until("content", ends)
            if found is None:
                return
            reader.at -= len(trigger)
            start = reader.at
            lead = found[: len(found) - len(trigger)]
            is_told = yield from self._read_section(syntax)
            if self.has_ended():
                return
            if not is_told:
                self._telling.say("content", lead + reader.text[start : start + len(trigger)])
                reader.at = start + len(trigger)

    def _read_section(self, syntax: CallSyntax) -> Wait[bool]:
        """Read calls that stand together. Returns whether one was told; else the place is as it
        was.
        """
        reader, mark = self._reader, self._reader.at
        yield from reader.match(syntax.section_open)
        has_told = False
        while True:
            start = reader.at
            call = ToldCall(self._telling.call())
            try:
                yield from read_call(reader, syntax, call, self._tools)
            except MalformedError as error:
                if not call.is_told:
                    reader.at = start if has_told else mark
                    return has_told
                if not isinstance(error, EndedError):
                    yield from self._read_broken(syntax, call)
            has_told = True
            if not self._is_parallel:
                self._is_call_over = True
                return True
            if (yield from self._is_section_over(syntax)):
                return True

    def _is_section_over(self, syntax: CallSyntax) -> Wait[bool]:
        """Whether no further call follows in this section; the literals between are read."""
        reader = self._reader
        if syntax.section_close.strip() and (yield from reader.match(syntax.section_close)):
            return True
        if not (syntax.section_open.strip() or not syntax.open.strip()):
            return True  # each call has a trigger of its own
        after = reader.at
        yield from reader.match(syntax.separator)
        mark = reader.at
        try:
            if syntax.open.strip():
                begins = yield from reader.match(syntax.open)
            else:
                begins = (yield from reader.skip_space()) == "{" or not isinstance(
                    syntax.body, JsonCall
                )
        except EndedError:
            begins = False
        reader.at = mark if begins else after
        return not begins

    def _read_broken(self, syntax: CallSyntax, call: ToldCall) -> Wait[None]:
        """Tell what follows in a call that is not what it should be as it stands, up to its end."""
        reader, close = self._reader, syntax.close.strip()
        while True:
            found = first_of(reader.text, [close], reader.at) if close else None
            if found is not None:
                call.argue(reader.text[reader.at : found[0]].rstrip())
                reader.at = found[0] + len(close)
                return
            if reader.is_over:
                call.argue(reader.rest)
                reader.at = len(reader.text)
                return
            yield

    def _read_bare_calls(self, syntax: CallSyntax) -> Wait[None]:
        """Read calls without their tag, where an answer begins with them: JSON of the very form,
        naming a tool that there is. Else the place is as it was.
        """
        reader = self._reader
        while True:
            mark = reader.at
            told: list[tuple[str | None, str]] = []
            call = ToldCall(_kept_in(told))
            bare = replace(syntax, open="", close="")
            try:
                fence = yield from self._fence()
                yield from read_call(reader, bare, call, self._tools, is_bare=True)
                if fence:
                    yield from reader.match("```")
            except MalformedError:
                reader.at = mark
                return
            tell = self._telling.call()
            for name, text in told:
                tell(name, text)
            if not self._is_parallel:
                self._is_call_over = True
                return
            yield from reader.match(syntax.separator)

    def _fence(self) -> Wait[bool]:
        for fence in FENCES:
            if (yield from self._reader.match(fence)):
                return True
        return False

    def _tell_until(self, channel: Channel, ends: Sequence[str]) -> Wait[str | None]:
        """Tell text up to the first of some literals, which is read. None where none comes."""
        reader = self._reader
        while True:
            found = first_of(reader.text, ends, reader.at)
            if found is not None and (
                reader.is_over or not could_grow(reader.text, found[0], found[1], ends)
            ):
                start, end = found
                self._telling.say(channel, reader.text[reader.at : start])
                reader.at = start + len(end)
                return end
            keep = 0 if reader.is_over else held(reader.text, reader.at, ends)
            stop = len(reader.text) - keep
            self._telling.say(channel, reader.text[reader.at : stop])
            reader.at = stop
            reader.forget()
            if reader.is_over:
                return None
            yield


def _kept_in(told: list[tuple[str | None, str]]) -> Tell:
    return lambda name, text: told.append((name, text))
