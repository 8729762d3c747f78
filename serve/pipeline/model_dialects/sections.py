"""Reading the calls of an answer that stand together, from the place where they may begin.

Some can be known by their literals at once. Others look like ordinary text, such as a bare JSON
object or a list in brackets: these have to name a tool that there is, and, unless the answer begins
with them, to be the end of it. Until that is known nothing of them is told.
"""

from __future__ import annotations

from dataclasses import replace

from serve.pipeline.model_dialects.call_reading import ToldCall, Tools, read_call
from serve.pipeline.model_dialects.dialect import CallSyntax, JsonCall, NamedCall, is_weak
from serve.pipeline.model_dialects.reading import (
    EndedError,
    MalformedError,
    Reader,
    Wait,
    first_of,
)
from serve.pipeline.model_dialects.telling import Telling

FENCES = ("```json", "```")


class SectionReading:
    """Reads calls.

    Args:
        syntax: of the dialect, with marks for special tokens.
        tools: schemas of the arguments of what may be called.
        is_parallel: whether more than one call may come.

    Attributes:
        has_ended: whether nothing may follow what has been read.
        trigger: the text with which calls may begin; empty where none can.
    """

    def __init__(
        self,
        reader: Reader,
        telling: Telling,
        syntax: CallSyntax,
        *,
        tools: Tools,
        is_parallel: bool,
    ) -> None:
        self._reader = reader
        self._telling = telling
        self._syntax = syntax
        self._tools = tools
        self._is_parallel = is_parallel
        self.has_ended = False
        self.trigger = _trigger(syntax)
        self._is_weak = is_weak(syntax.trigger)

    def read(self, *, is_first: bool) -> Wait[bool]:
        """Read calls where their trigger stands. Returns whether one was told; else the place is
        as it was.

        Args:
            is_first: whether nothing of the answer's content is before them.
        """
        if self._is_weak:
            syntax = self._syntax
            if not syntax.trigger and isinstance(syntax.body, NamedCall):
                syntax = replace(syntax, section_open=syntax.separator)
            return (yield from self._tentative(syntax, must_end=not is_first))
        return (yield from self._section(self._syntax, only=None))

    def read_without_tags(self) -> Wait[bool]:
        """Read calls with which an answer begins, and that miss the tags which they should have."""
        syntax = self._syntax
        if self._is_weak and isinstance(syntax.body, JsonCall | NamedCall):
            return (yield from self._tentative(syntax, must_end=False))
        if not isinstance(syntax.body, JsonCall):
            return False
        bare = replace(syntax, section_open="", open="", close="", section_close="")
        return (yield from self._tentative(bare, must_end=True))

    def _tentative(self, syntax: CallSyntax, *, must_end: bool) -> Wait[bool]:
        """Read what may be calls, and tell of them once it is known that they are."""
        reader, telling, start = self._reader, self._telling, self._reader.at
        telling.hold(releases_at_call=not must_end)
        fence = yield from self._fence()
        is_told = yield from self._section(syntax, only=self._tools)
        if is_told and must_end:
            if fence:
                yield from reader.match("```")
            is_told = yield from self._is_at_end()
        if is_told:
            telling.release()
        else:
            telling.restore()
            reader.at, self.has_ended = start, False
        return is_told

    def _fence(self) -> Wait[bool]:
        for fence in FENCES:
            if (yield from self._reader.match(fence)):
                return True
        return False

    def _is_at_end(self) -> Wait[bool]:
        try:
            yield from self._reader.skip_space()
        except EndedError:
            return True
        return False

    def _section(self, syntax: CallSyntax, *, only: Tools | None) -> Wait[bool]:
        """Read calls that stand together.

        Args:
            only: the tools of which each has to name one; None where any name will do.
        """
        reader, mark = self._reader, self._reader.at
        if not (yield from reader.match(syntax.section_open)):
            return False
        has_told = False
        while True:
            start = reader.at
            call = ToldCall(self._telling.call(), only)
            try:
                yield from read_call(reader, syntax, call, self._tools)
            except MalformedError as error:
                is_over = isinstance(error, EndedError)
                if not call.is_told:
                    if is_over and only is None:
                        self._cut()
                    else:
                        reader.at = start if has_told else mark
                    return has_told
                self._telling.is_cut = is_over
                if not is_over:
                    yield from self._read_broken(syntax, call)
            has_told = True
            if not self._is_parallel:
                self.has_ended = True
                return True
            if (yield from self._is_over(syntax)):
                return True

    def _cut(self) -> None:
        """Leave out the beginning of a call, which the answer's end has cut off before its name."""
        self._telling.is_cut = True
        self._reader.at = len(self._reader.text)

    def _is_over(self, syntax: CallSyntax) -> Wait[bool]:
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
                is_any = not isinstance(syntax.body, JsonCall)
                begins = (yield from reader.skip_space()) == "{" or is_any
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


def _trigger(syntax: CallSyntax) -> str:
    """The text with which calls begin: of a bare call, the first of its own."""
    if syntax.trigger or not syntax.pieces:
        return syntax.trigger
    first = syntax.pieces[0]
    return syntax.separator.strip() if first.is_hole else first.text.strip()
